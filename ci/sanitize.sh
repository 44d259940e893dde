#!/usr/bin/env bash
# The tests under AddressSanitizer or ThreadSanitizer; libzmq is compiled with the same one.
# Debian, as root; some minutes each.
#   ci/sanitize.sh address|thread [TEST...]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=ci/steps.sh
source ci/steps.sh

what=${1:-}
shift || true
target=x86_64-unknown-linux-gnu
export RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0 PUSHPULL_TEST_NO_MEMORY=1
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/sanitize-$what

# What promises milliseconds, on the clock or of the processor (25 of them for all that the
# kernel has, when a Pull closes), or memory, can't keep that; and
# what comes to a limit of the system leaves a sanitizer none of what it needs itself.
skipped=(prompt crowd_of_full stalls costs undisturbed wire::five_thousand wire::two_thousand limits
    in_the_middle_of_64_mib closes::a_close_gives_back_all_that_the_kernel
    closes::a_close_has_time)

cargo=(cargo)
case $what in
address)
    # gcc's compiler with rustc's runtime: the flags are for compiling alone, rustc links.
    # The pool of messages would keep what is freed, and so hide its use.
    export CXXFLAGS="-fsanitize=address -fno-omit-frame-pointer -g1 -DPUSHPULL_NO_POOL"
    export RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes"
    # Leaks are valgrind's part: a forked child forgets its parent's queues on purpose.
    export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1
    std=()
    ;;
thread)
    # clang for C++, whose runtime is linked, and a std that is instrumented as well: what is
    # handed over through one that is not looks like a race.
    packages clang-19 libclang-rt-19-dev rustc-web cargo-web rust-web-src
    export PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc
    export CXX=clang++-19 CC=clang-19 CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=clang-19
    export CXXFLAGS="-fsanitize=thread -fno-omit-frame-pointer -g1"
    export RUSTFLAGS="-Zsanitizer=thread -Zexternal-clangrt -Cforce-frame-pointers=yes -Clink-arg=-fsanitize=thread"
    # The child of a process with threads starts none here: ThreadSanitizer refuses.
    skipped+=(fork)
    export TSAN_OPTIONS="suppressions=$PWD/ci/thread.supp history_size=4"
    cargo=(/usr/bin/cargo)
    std=(-Zbuild-std)
    ;;
*)
    echo "usage: ci/sanitize.sh address|thread [TEST...]" >&2
    exit 2
    ;;
esac

tests() {
    "${cargo[@]}" test --locked "${std[@]}" --target "$target" --lib --test it -- \
        --test-threads=2 "${skipped[@]/#/--skip=}" "$@"
}

zmq_tests() {
    (cd vendor/zmq-sys && "${cargo[@]}" test --locked "${std[@]}" --target "$target" --tests)
}

step "tests under the $what sanitizer" tests "$@"
(($#)) || step "tests of zmq-sys" zmq_tests
all_ok
