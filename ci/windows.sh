#!/usr/bin/env bash
# Windows from Linux: builds library, program, examples and tests with MinGW, looks at
# what the programs import, and runs the tests under Wine. On a fresh Debian as root.
set -euo pipefail
. "$(dirname "$0")/cross.sh"

# Tests that are left out under Wine, and why. What is written for Linux alone (costs,
# fork, signals, ipc_file, ipc_paths, zmq-sys's faults) is not even built; where a test is
# for each transport it runs over tcp only, since Wine has no Unix sockets. One of zmq-sys's
# is marked as Linux's where it stands.
skipped=(
    # Wine keeps an exclusive port from being bound again while old connections are in
    # TIME_WAIT, for a minute. Windows does not.
    peers_that_restart_under_a_calling_push_tear_nothing
)

tools() {
    packages g++-mingw-w64-x86-64-posix wine64
    rust_for x86_64-pc-windows-gnu
    # The other form of MinGW may be installed as well; zmq-sys chooses by itself.
    export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-g++-posix
    x86_64-w64-mingw32-g++-posix --version | sed -n 1p
    wine=$(command -v wine64 wine /usr/lib/wine/wine64 | sed -n 1p)
    "$wine" --version
}

# The zmq-sys of crates.io takes MinGW for a Unix. Once it no longer does, build the
# program with it and run it, as the other scripts do.
does_not_build_without_patch() {
    local log=$cross/without-patch.log
    if (build_embedded_without_patch) >"$log" 2>&1; then
        echo "it builds" >&2
        return 1
    fi
    grep -m 1 'zmq-sys@0.12.*sys/socket.h: No such file' "$log" || {
        cat "$log"
        return 1
    }
}

# A program may only need what every Windows has.
imports() {
    local program wrong=0 dll
    for program in pushpull.exe examples/pipeline.exe embed.exe; do
        program=$(built "$program")
        x86_64-w64-mingw32-strip -o "$program.stripped" "$program"
        echo "$program: $(stat -c %s "$program.stripped") bytes stripped, imports:"
        while read -r dll; do
            echo "    $dll"
            case ${dll,,} in
            kernel32.dll | ntdll.dll | msvcrt.dll | advapi32.dll | ws2_32.dll) ;;
            iphlpapi.dll | userenv.dll | bcryptprimitives.dll | bcrypt.dll) ;;
            shell32.dll | ole32.dll | rpcrt4.dll | user32.dll | api-ms-win-*) ;;
            *)
                echo "    ^^^ is no part of Windows" >&2
                wrong=1
                ;;
            esac
        done < <(x86_64-w64-mingw32-objdump -p "$program" | sed -n 's/.*DLL Name: //p' | sort)
    done
    return $wrong
}

start_wine() {
    export WINEPREFIX=$cross/wine WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml=
    local system=$WINEPREFIX/drive_c/windows/system32
    [[ -d $system ]] || "$wine" wineboot -i >/dev/null 2>&1
    [[ -e $system/bcryptprimitives.dll ]] ||
        x86_64-w64-mingw32-gcc-posix -shared -O2 -s -o "$system/bcryptprimitives.dll" \
            ci/wine/bcryptprimitives.c -ladvapi32
    export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$wine
}

run_programs() {
    timeout 120 "$wine" "$(built pushpull.exe)" info
    timeout 120 "$wine" "$(built examples/pipeline.exe)"
    timeout 120 "$wine" "$(built embed.exe)"
}

tests() {
    printf 'left out: %s\n' "${skipped[@]}"
    # Two at a time, and with longer limits in the tests: Wine's server, through which every
    # wait goes, is one process.
    PUSHPULL_TEST_PATIENCE=4 "${cargo[@]}" test --locked "${how[@]}" --features cli \
        --lib --tests -- --test-threads=2 \
        "${skipped[@]/#/--skip=}"
}

step "tools" tools
step "library, program, examples, tests" build_all
step "embedding program" build_embedded
step "embedding program, libzmq of crates.io" does_not_build_without_patch
step "imports" imports
step "wine" start_wine
step "programs under wine" run_programs
step "tests" tests
all_ok
