#!/usr/bin/env bash
# 1 GB through `pushpull push | pushpull pull` over ipc, beside `pushpull bench` for the same
# size of record, by turns; then once into a file, whose checksum must be equal.
# ci/pipe.sh [ROUNDS]; an otherwise idle machine with 3 GB in /dev/shm, please.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7}

cargo build --locked --release --features cli
pushpull=$PWD/target/release/pushpull
[[ -z ${CARGO_TARGET_DIR:-} ]] || pushpull=$CARGO_TARGET_DIR/release/pushpull
folder=$(mktemp -d /dev/shm/pushpull.XXXXXX)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

through() { # through <output>: prints the seconds
    local began=$EPOCHREALTIME
    "$pushpull" pull --quiet --eof "ipc://$folder/s" >"$1" &
    "$pushpull" push --quiet --eof "ipc://$folder/s" <lines
    wait $!
    awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}

for size in 64 256 1024 4096; do
    count=$((1000000000 / size))
    awk -v size=$size -v count=$count 'BEGIN {
        for (i = 0; i < 64; ++i)
            for (line[i] = ""; length(line[i]) < size - 1;)
                line[i] = line[i] sprintf("%c", 97 + (7 * i + length(line[i]) * length(line[i])) % 26)
        for (i = 0; i < count; ++i)
            print line[i % 64]
    }' >lines
    for ((round = 0; round < rounds; ++round)); do
        bench=$("$pushpull" bench --size $((size - 1)) --json |
            sed 's/.*"records_per_second":\([0-9.e+]*\).*/\1/')
        awk -v count=$count -v t="$(through /dev/null)" -v bench="$bench" 'BEGIN {
            printf "%.2f of bench: %.2f s, %.0f beside %.0f krecords/s\n",
                count / t / bench, t, count / t / 1000, bench / 1000 }'
    done | sort -n | sed -n "s/^/$size bytes: /; $((rounds / 2 + 1))p"
    through copy >took
    cmp lines copy
    echo "$size bytes: into a file $(cat took) s, and the same"
    rm copy
done
