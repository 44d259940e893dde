#!/usr/bin/env bash
# Everything that must hold on Linux, from a fresh machine on: it installs what is
# missing, as root, on Debian. Run it before you push. Each step tells how long it took.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
# Debug info of a build that nobody debugs: half of the time and the disk.
[[ -n ${CI:-} ]] && export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only

# shellcheck source=ci/steps.sh
source ci/steps.sh

tools() {
    if ! command -v c++ >/dev/null; then packages g++; fi
    if ! command -v python3 >/dev/null; then packages python3; fi
    command -v cargo >/dev/null || { echo "Rust is missing: see rustup.rs" >&2; return 1; }
    for component in rustfmt clippy; do
        cargo "${component/rustfmt/fmt}" --version || rustup component add "$component"
    done
    rustc --version
}

formatted() {
    cargo fmt --all -- --check
}

# With the features and without: neither may lean on the other.
lints() {
    cargo clippy --locked --all-targets -- -D warnings
    cargo clippy --locked --all-targets --features cli,serde -- -D warnings
}

docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --features cli,serde
}

# The command of the README that runs the main job, here on a real file: this
# repository's own text.
main_job() {
    local input status=0
    input=$(mktemp)
    git ls-files -z | xargs -0 cat -- >"$input"
    readme_has 'cargo run --release --example pipeline'
    cargo run --release --example pipeline -- "$input" || status=$?
    rm -f "$input"
    return "$status"
}

generated_million() {
    cargo run --release --example pipeline
}

# It ends by itself.
fan_out() {
    timeout 60 cargo run --release --example fan_out
}

fan_in() {
    timeout 60 cargo run --release --example fan_in
}

config() {
    timeout 60 cargo run --release --features serde --example config
}

# It ends with the first Ctrl-C, and drains.
ctrl_c() {
    local status=0
    cargo build --release --example ctrl_c
    timeout --preserve-status -s INT 2 "${CARGO_TARGET_DIR:-target}/release/examples/ctrl_c"
}

# What `cargo test` leaves out: the program, and configuration by serde.
feature_tests() {
    cargo test --locked --features cli,serde --test cli
    cargo test --locked --features cli,serde --test it config::
}

tests() {
    readme_has 'cargo test'
    cargo test
}

# A program without the patch lines of the README gets this one: it has to build and work.
stock() {
    (cd vendor/stock && cargo test --test pushpull)
}

# Chance kills, stops and cuts for a minute; longer with ci/soak.sh MINUTES.
monkey() {
    ci/soak.sh 1
}

readme_has() {
    grep -q "^$1\b" README.md || { echo "README.md no longer says: $1" >&2; return 1; }
}

step "tools" tools
step "format" formatted
step "clippy" lints
step "docs" docs
step "minimal rust-version" ci/msrv.sh
step "public interface" ci/public-api.sh
step "main job, a file" main_job
step "main job, generated" generated_million
step "example fan_out" fan_out
step "example fan_in" fan_in
step "example config" config
step "example ctrl_c" ctrl_c
step "tests of the features" feature_tests
step "over a stock libzmq" stock
step "monkey" monkey
# Last, so that its closing lines are the last ones to read.
step "tests" tests
all_ok
