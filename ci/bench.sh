#!/bin/sh
# Measures ours beside the others and writes what it found into
# docs/performance.md and docs/throughput.svg. An otherwise idle Linux machine,
# please; about 20 minutes. Arguments go to the runner: `ci/bench.sh --quick`
# takes about 6.
set -eu
cd "$(dirname "$0")/.."

scale=$(mktemp)
trap 'rm -f "$scale"' EXIT

cargo bench --no-run
(cd benches/peers && cargo build --release)
cargo bench --bench scale | tee "$scale"
(cd benches/peers && cargo run --release -- --docs ../../docs --scale-text "$scale" "$@")
