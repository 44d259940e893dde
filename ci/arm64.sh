#!/usr/bin/env bash
# Linux on arm64, with glibc: builds with Debian's cross compiler, and runs the programs and
# the tests under qemu. On a fresh Debian as root.
set -euo pipefail
. "$(dirname "$0")/cross.sh"

tools() {
    packages g++-aarch64-linux-gnu qemu-user-static
    rust_for aarch64-unknown-linux-gnu
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
    aarch64-linux-gnu-g++ --version | sed -n 1p
    qemu-aarch64-static --version | sed -n 1p
}

linked() {
    local program
    for program in pushpull examples/pipeline embed; do
        program=$(built "$program")
        aarch64-linux-gnu-strip -o "$program.stripped" "$program"
        echo "$program: $(stat -c %s "$program.stripped") bytes stripped, needs:"
        aarch64-linux-gnu-readelf -d "$program" | sed -n 's/.*NEEDED.*\[\(.*\)\]/    \1/p'
    done
}

programs() {
    "${qemu[@]}" "$(built pushpull)" info
    "${qemu[@]}" "$(built examples/pipeline)"
    "${qemu[@]}" "$(built embed)"
}

tests() {
    "${cargo[@]}" test --locked --release "${std[@]}" --features cli --lib --tests
}

step "tools" tools
step "library, program, examples, tests" build_all
step "embedding program" build_embedded
step "what they link to" linked
step "programs under qemu" programs
step "tests" tests
all_ok
