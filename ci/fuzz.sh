#!/usr/bin/env bash
# libFuzzer makes up what comes over the wire (fuzz/), and sees its way through libzmq. With
# the stable toolchain; `cargo fuzz run wire` does the same on nightly. Debian, as root.
#   ci/fuzz.sh [MINUTES]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=ci/steps.sh
source ci/steps.sh

seconds=$((${1:-1} * 60))
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
export CXX=clang++-19 CXXFLAGS=-fsanitize=fuzzer-no-link
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"

build() {
    # With --target, build scripts and macros are left alone.
    (cd fuzz && cargo build --locked --release --target "$host")
}

# Something to begin with: a handshake and a message, of ZMTP 3 and of ZMTP 2.
seeds() {
    mkdir -p "$1"
    {
        printf '\x08\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL'
        head -c 48 /dev/zero
        printf '\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH\0\x05hello'
    } >"$1/zmtp-3"
    printf '\x02\xff\0\0\0\0\0\0\0\x01\x7f\x01\x08\0\0\0\x05hello' >"$1/zmtp-2"
}

run() {
    local work=$CARGO_TARGET_DIR/work
    seeds "$work/corpus"
    "$CARGO_TARGET_DIR/$host/release/wire" "$work/corpus" -artifact_prefix="$work/" \
        -max_len=4096 -timeout=20 -rss_limit_mb=1024 -max_total_time="$seconds" -print_final_stats=1
}

step "tools" packages clang-19
step "build" build
step "run" run
all_ok
