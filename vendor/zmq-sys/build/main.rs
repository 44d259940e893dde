//! Builds libzmq and what native/ adds to it.

mod first;
mod hot;
mod mingw;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The libzmq inside the pinned zeromq-src.
const VERSION: &str = "4.3.5";

/// What native/ mends everywhere, by the names that README.md uses.
const MENDS: &[&str] = &[
    "reconnect-after-error",
    "patient-heartbeats",
    "no-orders-to-the-dead",
];
/// What it mends on one system. Only what was seen to hold there: native/mends.h does more.
const LINUX_MENDS: &[&str] = &[
    "lossless-ipc",
    "calm-listener",
    "bounded-messages",
    "soft-start",
];
const WINDOWS_MENDS: &[&str] = &["bounded-messages"];

fn main() {
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=native");

    let target = env::var("TARGET").unwrap();
    let mingw = target.contains("windows-gnu");
    if mingw {
        mingw::choose_compiler(&target);
    }
    if let Err(what) = find_compiler() {
        // Fails the build by itself, and without the noise of a failed script.
        println!("cargo::error={what}");
        return;
    }
    optimise();
    if mingw {
        mingw::prepare(&target);
    }
    first::force(&target);

    let sodium = sodium();
    zeromq_src::Build::new()
        .with_libsodium(sodium.clone())
        .build();
    // Before native/hot.cpp, of which gcc would forget -fno-semantic-interposition: a
    // sixth of the processor time of a small message on the receiving side.
    first::forget();
    native(&target, sodium.is_some());
    if mingw {
        mingw::finish();
    }

    println!("cargo:version={VERSION}");
    println!("cargo:mends={}", mends(&target).join(","));
    println!(
        "cargo:features={}",
        if sodium.is_some() { "curve" } else { "" }
    );
    println!("cargo:native=1");
}

fn mends(target: &str) -> Vec<&'static str> {
    let more = if target.contains("linux") {
        LINUX_MENDS
    } else if target.contains("windows") {
        WINDOWS_MENDS
    } else {
        &[]
    };
    [MENDS, more].concat()
}

/// The only thing a user may lack. Said in one line, instead of by the panic of the
/// first file that cannot be compiled.
fn find_compiler() -> Result<(), String> {
    let advice = "install one (Debian, Ubuntu, Alpine: g++; Fedora: gcc-c++; macOS: \
                  xcode-select --install; Windows: the C++ build tools of Visual Studio) \
                  or name one in CXX";
    let compiler = cc::Build::new()
        .cpp(true)
        .try_get_compiler()
        .map_err(|error| format!("libzmq needs a C++ compiler: {advice} [{error}]"))?;
    match compiler.to_command().arg("--version").output() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "libzmq needs a C++ compiler, and `{}` does not run ({error}): {advice}",
            compiler.path().display()
        )),
    }
}

/// A debug build of the user is no reason for a slow libzmq; nobody steps through it.
fn optimise() {
    if matches!(env::var("OPT_LEVEL").as_deref(), Ok("0") | Ok("1")) {
        env::set_var("OPT_LEVEL", "3");
    }
}

/// Adds to the flags that the user has set for `cc`, in whichever variable counts.
pub fn add_flags(name: &str, target: &str, more: &str) {
    let mut flags = user_variable(name, target).unwrap_or_default();
    flags.push(" ");
    flags.push(more);
    // The one that `cc` looks at first; it takes the place of the others.
    env::set_var(format!("{name}_{target}"), flags);
}

/// What the user has told `cc`, for all targets or for this one.
fn user_variable(name: &str, target: &str) -> Option<OsString> {
    let kind = if env::var("HOST").as_deref() == Ok(target) {
        "HOST"
    } else {
        "TARGET"
    };
    [
        format!("{name}_{target}"),
        format!("{name}_{}", target.replace('-', "_")),
        format!("{kind}_{name}"),
        name.to_string(),
    ]
    .iter()
    .find_map(env::var_os)
}

/// With feature `curve`: where libsodium-sys-stable has put its headers and archive.
fn sodium() -> Option<zeromq_src::LibLocation> {
    env::var_os("CARGO_FEATURE_CURVE")?;
    let folder = |name: &str| {
        PathBuf::from(
            env::var_os(name).unwrap_or_else(|| panic!("libsodium-sys-stable gave no {name}")),
        )
    };
    Some(zeromq_src::LibLocation::new(
        folder("DEP_SODIUM_LIB"),
        folder("DEP_SODIUM_INCLUDE"),
    ))
}

/// Compiles native/ with the definitions that libzmq was compiled with: its objects look
/// into libzmq's, so they must agree on every layout.
fn native(target: &str, curve: bool) {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let mut build = as_libzmq(target);
    build
        .file("native/pushpull.cpp")
        .file("native/order.cpp")
        .file("native/large.cpp")
        .file("native/bounds.cpp")
        .file("native/mends_linux.cpp")
        .file("native/mends_bsd.cpp")
        .file("native/mends_windows.cpp")
        .file("native/events.cpp")
        .file("native/pool.cpp")
        .include("native")
        .include(out.join("source/include"))
        .include(out.join("source/src"))
        .include(out.join("source/external"))
        // platform.hpp, which zeromq-src leaves empty.
        .include(&out);
    if curve {
        build
            .define("ZMQ_USE_LIBSODIUM", "1")
            .define("ZMQ_HAVE_CURVE", "1");
        build.include(env::var_os("DEP_SODIUM_INCLUDE").unwrap());
    }
    if target.contains("msvc") {
        build
            .files(["native/copy.cpp", "native/traffic.cpp"])
            .flag("/EHsc");
    } else {
        build.file("native/hot.cpp");
        hot::take_out(&out.join("lib/libzmq.a"), || build.get_archiver());
        if build.get_compiler().is_like_gnu() {
            // Or a function that others could put their own in place of is never inlined.
            build.flag("-fno-semantic-interposition");
        }
    }
    // Both archives end up inside this crate's rlib, so their order does not matter.
    build.compile("pushpull_native");
}

/// A compiler with the definitions that zeromq-src compiles libzmq with.
fn as_libzmq(target: &str) -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .define("ZMQ_USE_CV_IMPL_STL11", "1")
        .define("ZMQ_STATIC", "1")
        .define("ZMQ_USE_BUILTIN_SHA1", "1")
        .define("ZMQ_HAVE_WS", "1")
        .define("HAVE_STRNLEN", "1")
        .define("ZMQ_POLL_BASED_ON_POLL", "1");
    if target.contains("linux") {
        build
            .define("ZMQ_HAVE_LINUX", "1")
            .define("ZMQ_IOTHREAD_POLLER_USE_EPOLL", "1")
            .define("ZMQ_HAVE_IPC", "1")
            .define("ZMQ_HAVE_UIO", "1")
            .define("ZMQ_HAVE_STRUCT_SOCKADDR_UN", "1");
    } else if target.contains("windows") {
        build
            .define("ZMQ_HAVE_WINDOWS", "1")
            .define("ZMQ_HAVE_IPC", "1")
            .define("ZMQ_IOTHREAD_POLLER_USE_EPOLL", "1")
            .define("_WIN32_WINNT", "0x0600")
            .define("ZMQ_HAVE_STRUCT_SOCKADDR_UN", "1");
    } else {
        build
            .define("ZMQ_IOTHREAD_POLLER_USE_KQUEUE", "1")
            .define("ZMQ_HAVE_UIO", "1")
            .define("ZMQ_HAVE_IPC", "1")
            .define("ZMQ_HAVE_STRUCT_SOCKADDR_UN", "1");
    }
    if !target.contains("msvc") {
        build.std("c++11");
    }
    build
}
