//! Windows with the GNU compiler, which zeromq-src 0.3.6 leaves half done: headers that
//! libzmq asks for, wepoll, and a C++ runtime inside the program, so that it needs no
//! DLL that Windows has not got.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// libzmq and native/ use std::mutex, which MinGW's compilers before 13 only have in the
/// "posix" form. Where both are installed, the plain name may be the other one.
pub fn choose_compiler(target: &str) {
    let prefix = if target.starts_with("i686") {
        "i686-w64-mingw32"
    } else {
        "x86_64-w64-mingw32"
    };
    for (variable, name) in [("CC", "gcc"), ("CXX", "g++")] {
        let compiler = format!("{prefix}-{name}-posix");
        if super::user_variable(variable, target).is_none() && runs(&compiler) {
            env::set_var(format!("{variable}_{target}"), compiler);
        }
    }
}

fn runs(compiler: &str) -> bool {
    Command::new(compiler)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Before zeromq-src compiles.
pub fn prepare(target: &str) {
    let headers = "-isystem native/mingw";
    super::add_flags("CXXFLAGS", target, headers);
    super::add_flags("CFLAGS", target, headers);
    // `cc` would link the C++ runtime as a DLL; `finish` does it statically.
    env::set_var(format!("CXXSTDLIB_{target}"), "");
}

/// After zeromq-src and native/ have compiled.
pub fn finish() {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    cc::Build::new()
        .file(out.join("source/external/wepoll/wepoll.c"))
        .define("_WIN32_WINNT", "0x0600")
        .warnings(false)
        .compile("pushpull_wepoll");

    for library in ["stdc++", "winpthread"] {
        if let Some(folder) = folder_of(&format!("lib{library}.a")) {
            println!("cargo:rustc-link-search=native={}", folder.display());
            println!("cargo:rustc-link-lib=static:-bundle={library}");
        }
    }
    for library in ["ws2_32", "advapi32", "rpcrt4"] {
        println!("cargo:rustc-link-lib={library}");
    }
}

/// Where the C++ compiler keeps a library.
fn folder_of(library: &str) -> Option<PathBuf> {
    let output = cc::Build::new()
        .cpp(true)
        .get_compiler()
        .to_command()
        .arg(format!("-print-file-name={library}"))
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    let folder = Path::new(path.trim()).parent()?;
    folder.is_absolute().then(|| folder.to_path_buf())
}
