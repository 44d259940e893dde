#!/usr/bin/env bash
# Linux without glibc: one file that runs on any distribution. Builds with zig as compiler
# and linker, and runs everything here. On a fresh Debian as root.
set -euo pipefail
# Of all platforms with a std that has to be built it is the only one that is not emulated.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0
. "$(dirname "$0")/cross.sh"

tools() {
    rust_for x86_64-unknown-linux-musl
    zig
    packages file
    # zig brings the C runtime that Rust would bring otherwise, and knows no other way.
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-C link-self-contained=no"
}

linked() {
    local program
    for program in pushpull examples/pipeline embed embed_without_patch; do
        program=$(built "$program")
        strip -o "$program.stripped" "$program"
        echo "$program: $(stat -c %s "$program.stripped") bytes stripped"
        file -b "$program"
        if readelf -d "$program" | grep NEEDED; then
            echo "$program needs a shared library" >&2
            return 1
        fi
    done
}

programs() {
    "$(built pushpull)" info
    "$(built examples/pipeline)"
    "$(built embed)"
    "$(built embed_without_patch)"
}

# Without the snippets of the documentation: rustdoc would be another Rust's. Most tests
# wait most of the time, and those that measure run alone.
tests() {
    "${cargo[@]}" test --locked "${how[@]}" --features cli --lib --tests -- --test-threads=4
}

step "tools" tools
step "library, program, examples, tests" build_all
step "embedding program" build_embedded
step "embedding program, libzmq of crates.io" build_embedded_without_patch
step "what they link to" linked
step "programs" programs
step "tests" tests
all_ok
