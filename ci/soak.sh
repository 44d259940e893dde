#!/usr/bin/env bash
# Lets the monkey of tests/it/monkey.rs play for so many minutes, a minute at a time and
# each with another seed. It fails at the first violation and tells the seed, with which
# it can be played again: PUSHPULL_SEED=n PUSHPULL_SOAK_SECONDS=60 cargo test monkey
#   ci/soak.sh [MINUTES]
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-1}
# What takes too long for every day.
((minutes < 2)) || cargo test --locked --test it -- --ignored
seed=${PUSHPULL_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
export PUSHPULL_SOAK_SECONDS=60
for ((minute = 1; minute <= minutes; minute++)); do
    printf 'minute %d of %d, seed %d\n' "$minute" "$minutes" "$seed"
    PUSHPULL_SEED=$seed cargo test --locked --test it -- monkey --nocapture \
        | grep -E 'delivered|died|violations|hangs|panicked|nothing moves|test result' \
        || { echo "seed $seed FAILED" >&2; exit 1; }
    seed=$((seed + 1))
done
