#!/bin/sh
# Runs vendor/zmq-sys/tests/faults.rs twice: with our zmq-sys and with the one of
# crates.io. Prints a line for each test, and fails if ours fails anywhere. A test that
# passes with both is marked, as it shows nothing (or shows that a fault cannot be
# reached). PUSHPULL_RUNS=n sets the runs of the repeated tests (100).
# Then builds pushpull over the one of crates.io: it works, and says what it lacks when
# it is built and when it runs.
set -u
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}

outcomes() { # outcomes <folder> <target>
    (cd "$1" && CARGO_TARGET_DIR=$2 cargo test --no-fail-fast --test faults -- --test-threads=1 2>&1) \
        | tee "$3" | sed -n 's/^test \([a-z_]*\) \.\.\. \(.*\)/\1 \2/p' | sort
}

case $target in /*) ;; *) target=$PWD/$target ;; esac
mkdir -p "$target"
ours=$(outcomes vendor/zmq-sys "$target" "$target/faults-ours.log")
stock=$(outcomes vendor/stock "$target/stock" "$target/faults-stock.log")

[ -n "$ours" ] || { tail -30 "$target/faults-ours.log"; exit 1; }
[ -n "$stock" ] || { tail -30 "$target/faults-stock.log"; exit 1; }

status=0
printf '%-50s %-8s %s\n' test ours stock
echo "$ours" | while read -r name outcome; do
    other=$(echo "$stock" | sed -n "s/^$name //p")
    note=
    [ "$outcome" = "$other" ] && note="  (no difference)"
    printf '%-50s %-8s %s%s\n' "$name" "$outcome" "${other:-did not end}" "$note"
done
if echo "$ours" | grep -q FAILED; then status=1; fi

log=$target/pushpull-stock.log
touch build.rs # cargo shows the warning of a build script when that has run
(cd vendor/stock && CARGO_TARGET_DIR=$target/stock cargo test --test pushpull 2>&1) | tee "$log"
grep -q 'warning: .*stock zmq-sys.*patch.crates-io' "$log" || { echo "no warning at build time"; status=1; }
grep -q 'test result: ok. 1 passed' "$log" || status=1
exit $status
