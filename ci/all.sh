#!/usr/bin/env bash
# Every platform, one after the other, and a line for each at the end.
set -uo pipefail
cd "$(dirname "$0")/.."

status=0
report=()
for platform in linux windows musl arm64 macos; do
    from=$SECONDS
    if "ci/$platform.sh"; then
        report+=("$platform: ok, $((SECONDS - from)) s")
    else
        report+=("$platform: FAILED after $((SECONDS - from)) s")
        status=1
    fi
done
printf '\n'
printf '%s\n' "${report[@]}"
exit $status
