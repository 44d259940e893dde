//! What every file of libzmq reads before its first line: native/mends.h, and with it,
//! where the compiler is gcc, the headers that most files begin with, compiled once.

use std::{env, fs, path::PathBuf};

use crate::{add_flags, as_libzmq};

/// Relative to the folder that cargo runs build scripts in, which is this package's, so
/// that no path with a space in it can get into the flags.
const MENDS: &str = "native/mends.h";

/// Of the C++ library; of the system's, libzmq's files include what they want themselves.
const HEADERS: &[&str] = &[
    "algorithm",
    "atomic",
    "condition_variable",
    "deque",
    "map",
    "mutex",
    "new",
    "set",
    "sstream",
    "string",
    "vector",
];

/// Makes the compilers that zeromq-src starts read it.
pub fn force(target: &str) {
    let flags = if target.contains("msvc") {
        format!("/FI{MENDS}")
    } else {
        compile(target).unwrap_or_else(|| format!("-include {MENDS}"))
    };
    add_flags("CXXFLAGS", target, &flags);
}

/// Compiles it, and tells the flags that have it used. A compiler that finds it made with
/// other flags than its own reads the header instead.
fn compile(target: &str) -> Option<String> {
    let compiler = as_libzmq(target).get_compiler();
    let header = header();
    let path = header.to_str().filter(|p| !p.contains(char::is_whitespace));
    if !compiler.is_like_gnu() || path.is_none() {
        return None;
    }
    let mut text = format!("#include \"{MENDS}\"\n");
    for name in HEADERS {
        text += &format!("#include <{name}>\n");
    }
    fs::write(&header, text).ok()?;
    let done = compiler
        .to_command()
        .args(["-x", "c++-header", "-I."])
        .arg(&header)
        .arg("-o")
        .arg(compiled())
        .output();
    done.ok()
        .filter(|output| output.status.success())
        .and(path)
        .map(|path| format!("-I. -include {path}"))
}

/// It is tens of megabytes, and of no use to anybody else.
pub fn forget() {
    let _ = fs::remove_file(compiled());
}

fn header() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").unwrap()).join("pushpull_first.h")
}

fn compiled() -> PathBuf {
    header().with_extension("h.gch")
}
