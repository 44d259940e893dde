#!/usr/bin/env bash
# Checks the library with the oldest compiler that Cargo.toml promises, and the examples
# and tests with it. Debian keeps that very compiler; without Debian, or with another one in
# use already, say which in MSRV_RUSTC and MSRV_CARGO.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
tools=${CARGO_TARGET_DIR:-target}/msrv

# Unpacked beside the build, not installed: another version may be in use on this machine.
unpack() {
    local full
    full=$(apt-cache madison rustc-web | awk -v v="$version." '$3 ~ "^" v { print $3; exit }')
    [[ -n $full ]] || return 1
    mkdir -p "$tools/debs"
    (
        cd "$tools/debs"
        apt-get download -q "rustc-web=$full" "cargo-web=$full" "libstd-rust-web-dev=$full" \
            "libstd-rust-web-$version=$full" libllvm19 libhttp-parser2.9 libpcre3 2>&1 |
            grep -v unsandboxed
        for deb in *.deb; do
            dpkg -x "$deb" "$tools"
        done
    )
}

if [[ -z ${MSRV_RUSTC:-} ]]; then
    mkdir -p "$tools"
    tools=$(realpath "$tools")
    if [[ ! -x $tools/usr/bin/rustc ]]; then
        apt-cache madison rustc-web | grep -q " $version\." || apt-get update -q
        unpack || {
            echo "no Rust $version to be had here; clippy's incompatible_msrv is all that was checked"
            exit 0
        }
    fi
    MSRV_RUSTC=$tools/usr/bin/rustc MSRV_CARGO=$tools/usr/bin/cargo
    export LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu:$tools/lib/x86_64-linux-gnu
fi

"$MSRV_RUSTC" --version
RUSTC=$MSRV_RUSTC "$MSRV_CARGO" check --locked --all-targets --features cli,serde --target-dir "$tools/build"
