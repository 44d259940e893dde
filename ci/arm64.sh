#!/usr/bin/env bash
# Linux on arm64, with glibc: builds with Debian's cross compiler, and runs the programs and
# the tests under qemu. On a fresh Debian as root.
set -euo pipefail
. "$(dirname "$0")/cross.sh"

# Tests that are left out under qemu-user 7.2, and why. Seen with a few lines of C.
skipped=(
    # It keeps 279 KiB of each thread that has ended; these are asked whether any is left.
    costs::ten_thousand_queues_leave_nothing_behind
    # It does not know SIOCOUTQNSD: a drain over tcp waits for the own kernel alone.
    rogues::a_drain_waits_until_the_peers_kernel_has_it_all
    # It takes a limit of address space for granted and does not set it, as that would be
    # its own.
    a_socket_without_threads_is_an_error
)

tools() {
    packages g++-aarch64-linux-gnu qemu-user-static
    rust_for aarch64-unknown-linux-gnu arm64
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
    aarch64-linux-gnu-g++ --version | sed -n 1p
    qemu-aarch64-static --version | sed -n 1p
}

linked() {
    local program
    for program in pushpull examples/pipeline embed embed_without_patch; do
        program=$(built "$program")
        aarch64-linux-gnu-strip -o "$program.stripped" "$program"
        echo "$program: $(stat -c %s "$program.stripped") bytes stripped, needs:"
        aarch64-linux-gnu-readelf -d "$program" | sed -n 's/.*NEEDED.*\[\(.*\)\]/    \1/p'
    done
}

# The tests start programs, and themselves, so it is the kernel that has to call qemu. On
# most machines qemu-user-static has told it; where not, it is told in a namespace of our
# own, which needs root and Linux 6.7.
emulated() {
    if "$(built pushpull)" --version >/dev/null 2>&1; then
        "$@"
        return
    fi
    local holder status=0
    unshare --user sleep infinity &
    holder=$!
    until [[ $(readlink "/proc/$holder/ns/user") != "$(readlink /proc/self/ns/user)" ]]; do
        sleep 0.1
    done
    # With all users, since tests become others.
    echo 0 0 4294967295 >"/proc/$holder/uid_map"
    echo 0 0 4294967295 >"/proc/$holder/gid_map"
    # shellcheck disable=SC2016
    nsenter --user --target "$holder" unshare --mount bash -euc '
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
        elf="\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
        any="\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
        qemu=$(command -v qemu-aarch64-static)
        printf %s ":arm64:M::$elf:$any:$qemu:" >/proc/sys/fs/binfmt_misc/register
        exec "$@"' - "$@" || status=$?
    kill "$holder"
    return "$status"
}

programs() {
    emulated "$(built pushpull)" info
    emulated "$(built examples/pipeline)"
    emulated "$(built embed)"
    emulated "$(built embed_without_patch)"
}

tests() {
    printf 'left out: %s\n' "${skipped[@]}"
    # Time limits, in the tests, for a processor that is emulated. Nor is memory looked at:
    # that of qemu, which grows with what it has translated, is counted with it. Most tests
    # wait most of the time.
    PUSHPULL_TEST_PATIENCE=4 PUSHPULL_TEST_NO_MEMORY=1 emulated \
        "${cargo[@]}" test --locked "${how[@]}" --features cli --lib --tests -- \
        --test-threads=4 "${skipped[@]/#/--skip=}"
}

step "tools" tools
step "library, program, examples, tests" build_all
step "embedding program" build_embedded
step "embedding program, libzmq of crates.io" build_embedded_without_patch
step "what they link to" linked
step "programs under qemu" programs
step "tests" tests
all_ok
