# For the scripts here, to be sourced: named steps that tell what they took, and packages.

began=$SECONDS

# step NAME COMMAND...: runs it, and tells how it went; wall time, and the processor's.
# Never `step ... || ...`: bash would then go on after a command that fails within.
step() {
    local cpu
    current=$1 from=$SECONDS cpu=$(cpu_seconds)
    shift
    printf '\n=== %s\n' "$current"
    "$@"
    printf '=== %s: ok, %d s (%d s of processor time)\n' "$current" $((SECONDS - from)) \
        $(($(cpu_seconds) - cpu))
    current=
}

current=
trap 'failed' EXIT
failed() {
    local status=$?
    [[ -z $current ]] ||
        printf '=== %s: FAILED after %d s\n' "$current" $((SECONDS - from)) >&2
    exit "$status"
}

# What this shell and all that it has started and seen end have used. 0 but on Linux.
cpu_seconds() {
    if [[ -r /proc/$$/stat ]]; then
        awk -v hz="$(getconf CLK_TCK)" '{ printf "%d", ($14 + $15 + $16 + $17) / hz }' /proc/$$/stat
    else
        echo 0
    fi
}

all_ok() {
    printf '\n=== all of it: ok, %d s (%d s of processor time)\n' $((SECONDS - began)) \
        "$(cpu_seconds)"
}

# packages PACKAGE...: installs those that Debian has and this machine has not.
packages() {
    local missing=() name
    for name; do
        [[ $(dpkg-query -W -f '${Status}' "$name" 2>/dev/null) == *"ok installed" ]] ||
            missing+=("$name")
    done
    ((${#missing[@]})) || return 0
    echo "installing ${missing[*]}"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
        "${missing[@]}" >/dev/null
}
