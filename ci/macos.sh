#!/usr/bin/env bash
# macOS. On a Mac: builds and tests. Elsewhere: builds and links for arm64 with zig,
# without Apple's SDK, and runs nothing, as there is nothing here to run it on.
set -euo pipefail
. "$(dirname "$0")/cross.sh"

tools() {
    rust_for aarch64-apple-darwin
    zig
    packages file
}

kind() {
    file -b "$(built pushpull)" "$(built examples/pipeline)" "$(built embed)"
}

tests() {
    "${cargo[@]}" test --locked --release --features cli
}

if [[ $(uname) == Darwin ]]; then
    cargo=(cargo) std=()
    export TARGET=.
    step "library, program, examples, tests" build_all
    step "embedding program" build_embedded
    step "tests" tests
else
    step "tools" tools
    step "library, program, examples, tests" build_all
    step "embedding program" build_embedded
    step "what came of it" kind
fi
all_ok
