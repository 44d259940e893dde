# For ci/windows.sh, musl.sh, arm64.sh and macos.sh, to be sourced: a Rust that can build
# for another platform, what each of them builds, and the look at the result.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/steps.sh

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# Debug info of a build that nobody debugs: half of the time and the disk.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
# Rust that is built in order to be tested, quicker; libzmq is optimised all the same.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=${CARGO_PROFILE_RELEASE_OPT_LEVEL:-1}
# This machine's own compiler is none for another.
unset CC CXX
cross=$CARGO_TARGET_DIR/cross
mkdir -p "$cross"
# Not below this folder: what lies there is another crate to each workspace, so that std would
# be built for each.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/pushpull
mkdir -p "$tools"

# rust_for TARGET [ARCHITECTURE]: sets `cargo` and `how` so that "${cargo[@]}" build
# "${how[@]}" works.
#
# A Rust that has the target's std is taken as it is (rustup target add). Otherwise
# Debian's, unpacked where it is in nobody's way: with the std of another architecture of
# Debian's where that is given; else its packages carry std's source, from which cargo
# builds std for any target.
rust_for() {
    local target=$1 architecture=${2:-}
    export TARGET=$target
    cargo=(cargo) how=(--release --target "$target")
    if command -v rustc >/dev/null && [[ -d $(rustc --print sysroot)/lib/rustlib/$target/lib ]]; then
        rustc --version
        return
    fi
    packages gcc g++ libc6-dev ca-certificates libcurl4 libssl3 libxml2
    apt-cache show rust-web-src >/dev/null 2>&1 || apt-get update -q >/dev/null
    local version rust
    version=$(LC_ALL=C apt-cache policy rustc-web | awk '$1 == "Candidate:" { print $2 }')
    [[ $version == [0-9]* ]]
    rust=$tools/rust-$version
    [[ -x $rust/usr/bin/cargo ]] || unpack_rust "$rust" "$version"
    export LD_LIBRARY_PATH=$rust/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    # -Zbuild-std is not stable yet.
    export RUSTC=$rust/usr/bin/rustc RUSTC_BOOTSTRAP=1
    cargo=("$rust/usr/bin/cargo")
    if [[ -n $architecture ]]; then
        [[ -d $rust/usr/lib/rustlib/$target ]] || unpack_std "$rust" "$version" "$architecture"
    else
        how+=(-Zbuild-std)
    fi
    "$RUSTC" --version
}

unpack_rust() {
    local version=$2 libstd llvm deb new
    libstd=libstd-rust-web-$(cut -d. -f1,2 <<<"$version")
    llvm=$(apt-cache depends "$libstd=$version" | awk '$2 ~ /^libllvm/ { print $2 }')
    new=$(mktemp -d "$1.XXXXXX")
    (
        mkdir "$new/debs"
        cd "$new/debs"
        echo "unpacking rustc-web and rust-web-src $version"
        # What the machine may lack of their libraries, too.
        apt-get download -q "rustc-web=$version" "cargo-web=$version" \
            "libstd-rust-web-dev=$version" "$libstd=$version" "rust-web-src=$version" \
            "$llvm" libgit2-1.5 libhttp-parser2.9 libpcre3 libmbedcrypto7 libmbedtls14 \
            libmbedx509-1 libssh2-1 libsqlite3-0 >/dev/null 2>&1
        for deb in *.deb; do
            dpkg -x "$deb" "$new"
        done
    )
    rm -r "$new/debs"
    rm -rf "$1"
    mv "$new" "$1"
}

# The lists of another architecture's packages, in a place of their own: this machine has
# none of those, and needs none.
unpack_std() {
    local version=$2 lists apt
    lists=$(mktemp -d)
    chmod 755 "$lists"
    apt=(apt-get -q -o "APT::Architectures::=$(dpkg --print-architecture)"
        -o "APT::Architectures::=$3" -o "Dir::State::lists=$lists"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    echo "unpacking libstd-rust-web-dev:$3 $version"
    (
        cd "$lists"
        "${apt[@]}" update >/dev/null
        "${apt[@]}" download "libstd-rust-web-dev:$3=$version" >/dev/null 2>&1
        dpkg -x libstd-rust-web-dev_*.deb new
        # In one step: what is there is taken to be complete.
        rm -rf "$1/usr/lib/rustlib/$TARGET.new"
        cp -r "new/usr/lib/rustlib/$TARGET" "$1/usr/lib/rustlib/$TARGET.new"
        mv "$1/usr/lib/rustlib/$TARGET.new" "$1/usr/lib/rustlib/$TARGET"
    )
    rm -r "$lists"
}

# What each script builds: library, program, examples and tests, in one go, since what
# tests need of the dependencies differs, and libzmq would be built twice.
build_all() {
    "${cargo[@]}" test --locked "${how[@]}" --features cli --no-run
}

# The embedding program, as it is in the repository: with the patch lines. It is linked with
# the libzmq that build_all has just compiled from the same files, and cargo finds std built.
build_embedded() {
    local libzmq=$cross/libzmq.toml
    libzmq_of_build_all >"$libzmq"
    (cd examples/embed && "${cargo[@]}" build --locked "${how[@]}" --config "$libzmq")
}

# What zmq-sys's build script told cargo, in the form in which cargo takes it from elsewhere
# (`links` overrides, in the Cargo book at "Build Scripts").
libzmq_of_build_all() {
    local told
    # shellcheck disable=SC2012
    told=$(ls -t "$CARGO_TARGET_DIR/$TARGET"/release/build/zmq-sys-*/output |
        xargs grep -l '^cargo:native=1' | sed -n 1p)
    awk -v target="$TARGET" '
        { at = index($0, "="); key = substr($0, 7, at - 7); value = substr($0, at + 1) }
        !/^cargo:[a-z]/ || key ~ /^(rerun-|warning$)/ { next }
        key ~ /^rustc-link-/ { lists[key] = lists[key] " \"" value "\","; next }
        { rest = rest key " = \"" value "\"\n" }
        END {
            print "[target." target ".zmq]"
            for (key in lists) print key " = [" lists[key] " ]"
            printf "%s", rest
        }' "$told"
}

# And as somebody would write it who does not know of them: with libzmq as zmq-sys of
# crates.io builds it; here without the optimizer, since it is only to be seen to work.
build_embedded_without_patch() {
    local copy=$cross/embed_without_patch
    rm -rf "$copy"
    cp -r examples/embed "$copy"
    sed -e '/^\[patch/,/^$/d' -e 's/^name = "embed"/name = "embed_without_patch"/' \
        -e "s|path = \"../..\"|path = \"$PWD\"|" examples/embed/Cargo.toml >"$copy/Cargo.toml"
    printf '\n[profile.release.package.zmq-sys]\nopt-level = 0\n' >>"$copy/Cargo.toml"
    rm "$copy/Cargo.lock"
    (cd "$copy" && "${cargo[@]}" build "${how[@]}")
}

# built NAME: where the release build of a program is.
built() {
    echo "$CARGO_TARGET_DIR/$TARGET/release/$1"
}

# Compiler and linker for Linux with musl and for macOS, of PyPI; after rust_for. Zig
# 0.17 has an allocator of its own in place of musl's: a child that was forked while
# another thread allocated hangs in its first allocation.
zig() {
    packages python3 python3-pip
    local version=0.15.2 zigbuild=0.24.0
    local zig=$tools/zig-$version-$zigbuild
    [[ -x $zig/bin/cargo-zigbuild ]] ||
        python3 -m pip install -q --disable-pip-version-check --root-user-action ignore \
            --target "$zig" "ziglang==$version" "cargo-zigbuild==$zigbuild"
    export PYTHONPATH=$zig PATH=$zig/bin:$PATH
    # Without python's start for each file.
    export CARGO_ZIGBUILD_ZIG_PATH=$zig/ziglang/zig
    CARGO=$(command -v "${cargo[0]}")
    export CARGO
    cargo=(cargo-zigbuild)
    cargo-zigbuild --version
    echo "zig $(python3 -m ziglang version)"
}
