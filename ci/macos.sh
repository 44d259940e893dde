#!/usr/bin/env bash
# macOS. On a Mac: builds and tests. Elsewhere: builds and links for arm64 with zig,
# without Apple's SDK, and runs nothing, as there is nothing here to run it on.
set -euo pipefail
. "$(dirname "$0")/cross.sh"

tools() {
    rust_for aarch64-apple-darwin
    zig
    packages file llvm-14
    # rustc strips with LLVM's objcopy, which Debian's Rust does not carry.
    mkdir -p "$cross/bin"
    ln -sf "$(command -v llvm-objcopy-14)" "$cross/bin/rust-objcopy"
    export PATH=$cross/bin:$PATH
    # ctrlc needs what zig has not got of the system; it is enough to know the names.
    export CARGO_TARGET_AARCH64_APPLE_DARWIN_RUSTFLAGS="-L native=$PWD/ci/macos -L framework=$PWD/ci/macos"
}

linked() {
    local program wrong
    for program in pushpull examples/pipeline embed embed_without_patch; do
        program=$(built "$program")
        llvm-strip-14 -o "$program.stripped" "$program"
        echo "$program: $(stat -c %s "$program.stripped") bytes stripped"
        file -b "$program"
        llvm-objdump-14 --macho --dylibs-used "$program" | sed 1d
        # A program may only need what every Mac has.
        wrong=$(llvm-objdump-14 --macho --dylibs-used "$program" |
            sed -e 1d -e '/^\t\/usr\/lib\//d' -e '/^\t\/System\//d')
        if [[ -n $wrong ]]; then
            echo "is no part of macOS: $wrong" >&2
            return 1
        fi
    done
}

tests() {
    "${cargo[@]}" test --locked "${how[@]}" --features cli
}

if [[ $(uname) == Darwin ]]; then
    cargo=(cargo) how=(--release)
    export TARGET=.
    step "library, program, examples, tests" build_all
    step "embedding program" build_embedded
    step "embedding program, libzmq of crates.io" build_embedded_without_patch
    step "tests" tests
else
    step "tools" tools
    step "library, program, examples, tests" build_all
    step "embedding program" build_embedded
    step "embedding program, libzmq of crates.io" build_embedded_without_patch
    step "what they link to" linked
fi
all_ok
