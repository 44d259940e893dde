#!/usr/bin/env bash
# What opens, sends, receives and stops, under valgrind: no error, and no byte definitely
# lost. Tests that measure time can't hold there. Debian; a minute or two.
#   ci/valgrind.sh [TEST...]
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends valgrind
}
(($#)) || set -- delivery::any_zeromq channels::a_push_from drop_order nine_faults::fault_9 \
    outcomes::every_item frames::every_size back_pressure::the_channel
binary=$(cargo test --locked --test it --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))/\1/p')
for test; do
    valgrind --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
        --show-leak-kinds=definite --fair-sched=yes "$binary" --test-threads=1 "$test"
done
