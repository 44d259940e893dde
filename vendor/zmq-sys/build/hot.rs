//! native/hot.cpp has some of libzmq's files in it, which then must not be in libzmq's
//! archive as well.

use std::{fs, path::Path, process::Command};

/// Takes them out.
pub fn take_out(libzmq: &Path, archiver: impl Fn() -> Command) {
    let hot = fs::read_to_string("native/hot.cpp").unwrap();
    let names: Vec<_> = hot
        .lines()
        .filter_map(|l| l.strip_prefix("#include \"")?.strip_suffix(".cpp\""))
        .filter(|name| !OURS.contains(name))
        .map(|name| format!("-{name}.o"))
        .collect();
    let objects = run(archiver().arg("t").arg(libzmq));
    let hot: Vec<_> = objects
        .lines()
        .filter(|object| names.iter().any(|end| object.ends_with(end)))
        .collect();
    assert_eq!(hot.len(), names.len(), "{names:?} of {objects}");
    run(archiver().arg("d").arg(libzmq).args(hot));
    run(archiver().arg("s").arg(libzmq));
}

/// Those that libzmq does not have.
const OURS: &[&str] = &["copy", "traffic"];

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
