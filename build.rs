//! Tells the crate which libzmq it is linked with, and the user when it is not ours.
//!
//! `vendor/zmq-sys` exports what it built (`DEP_ZMQ_*`); the zmq-sys of crates.io, which
//! an embedding program gets without a `[patch.crates-io]` of its own, exports nothing.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(pushpull_native)");

    let native = env::var_os("DEP_ZMQ_NATIVE").is_some();
    if native {
        println!("cargo::rustc-cfg=pushpull_native");
    } else {
        println!(
            "cargo::warning=pushpull is built on the stock zmq-sys, which loses messages on a \
             clean close over ipc. To mend that, add to your Cargo.toml: [patch.crates-io] \
             zmq-sys = {{ path = \"<pushpull>/vendor/zmq-sys\" }}"
        );
    }
    for (name, key) in [
        ("PUSHPULL_ZMQ_VERSION", "DEP_ZMQ_VERSION"),
        ("PUSHPULL_ZMQ_MENDS", "DEP_ZMQ_MENDS"),
        ("PUSHPULL_ZMQ_FEATURES", "DEP_ZMQ_FEATURES"),
    ] {
        // Empty means: not known.
        println!(
            "cargo::rustc-env={name}={}",
            env::var(key).unwrap_or_default()
        );
    }
}
