#!/usr/bin/env bash
# Speaks with ZeroMQs that we did not write, in both directions: pyzmq, Debian's C
# libzmq, zmq.rs, rzmq, and Debian's JeroMQ (ZMTP 2, let in by `legacy_peers`). Each run
# is 100 000 messages (or COUNT), in one frame or in three, checked for order, size and
# checksum. Then it measures what a slow stock receiver loses over ipc.
# Installs what is missing, as root, on Debian. About 5 minutes.
#   ci/interop.sh [COUNT]
set -uo pipefail
cd "$(dirname "$0")/interop"
count=${1:-100000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

missing=()
dpkg -s libzmq3-dev >/dev/null 2>&1 || missing+=(libzmq3-dev)
dpkg -s libjeromq-java >/dev/null 2>&1 || missing+=(libjeromq-java)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v javac >/dev/null || missing+=(default-jdk-headless)
python3 -m venv --help >/dev/null 2>&1 || missing+=(python3-venv)
if ((${#missing[@]})); then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" || exit 1
fi
set -e
venv=${INTEROP_VENV:-$PWD/target/venv}
"$venv/bin/python" -c 'import zmq' 2>/dev/null || {
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q pyzmq
}
cc -O2 -Wall -o "$work/c" peer.c -lzmq
jar=/usr/share/java/jeromq.jar
javac -cp $jar -d "$work" Peer.java
cargo build --locked --release
interop=${CARGO_TARGET_DIR:-target}/release/interop
set +e

printf '%s, libzmq of Debian %s, JeroMQ of Debian %s\n' \
    "$("$venv/bin/python" -c 'import zmq; print("pyzmq", zmq.__version__, "with libzmq", zmq.zmq_version())')" \
    "$(dpkg-query -W -f '${Version}' libzmq3-dev)" "$(dpkg-query -W -f '${Version}' libjeromq-java)"
grep -A1 -E 'name = "(zeromq|rzmq)"' Cargo.lock | sed -n 's/^\(name\|version\) = //p' | paste -sd' '

peer() { # peer NAME ROLE ENDPOINT SHAPE
    case $1 in
        pyzmq) timeout 120 "$venv/bin/python" peer.py "$2" "$3" "$count" "$4" ;;
        libzmq) timeout 120 "$work/c" "$2" "$3" "$count" "$4" ;;
        jeromq) timeout 120 java -cp "$jar:$work" Peer "$2" "$3" "$count" "$4" ;;
        *) timeout 120 "$interop" "$1" "$2" "$3" "$count" "$4" ;;
    esac
}

# What ours prints before it is bound tells the peer where to call.
ours() { # ours ROLE ENDPOINT SHAPE OPTIONS
    timeout 120 "$interop" ours "$1" "$2" "$count" "$3" "$4" >"$work/ours" 2>"$work/ours.err" &
    our_id=$!
    for _ in $(seq 200); do
        bound=$(sed -n 's/^bound //p' "$work/ours")
        [[ -n $bound ]] && return
        sleep 0.05
    done
    cat "$work/ours.err"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

failed=0
run() { # run PEER TRANSPORT SHAPE DIRECTION
    local endpoint=tcp://127.0.0.1:0 options= role=push other=pull told
    [[ $2 == ipc ]] && endpoint=ipc://$work/s
    [[ $1 == jeromq ]] && options=legacy_peers=true
    [[ $4 == from ]] && role=pull other=push
    if [[ $4 == called ]]; then
        [[ $2 == tcp ]] && endpoint=tcp://127.0.0.1:$(free_port)
        options+="&role=connect"
    fi
    ours $role "$endpoint" "$3" "$options"
    [[ $4 == called ]] && bound=@$endpoint
    local from=$SECONDS status=0
    told=$(peer "$1" $other "$bound" "$3" 2>&1) || status=1
    wait $our_id || status=1
    [[ $told$(cat "$work/ours") == *"$count ok"* ]] || status=1
    if ((status)); then
        failed=$((failed + 1))
        printf '%-7s %-4s %-4s %-6s FAILED: %s\n' "$1" "$2" "$4" "$3" \
            "$(grep -hv -e "^ *[0-9]*:" -e "^ *at " <(echo "$told") "$work/ours" "$work/ours.err" | tr "\n" " " | cut -c1-400)"
    else
        printf '%-7s %-4s %-4s %-6s %s ok, %d s\n' "$1" "$2" "$4" "$3" "$count" $((SECONDS - from))
    fi
}

for name in ${PEERS:-pyzmq libzmq zmqrs rzmq jeromq}; do
    for transport in tcp ipc; do
        # Its ipc is tcp under another name.
        [[ $name == jeromq && $transport == ipc ]] && continue
        for shape in single multi; do
            run $name $transport $shape to
            run $name $transport $shape from
            # Who calls tells its name in the handshake, which nobody else knows.
            run $name $transport $shape called
        done
    done
done

# A stock receiver that is slow: it loses what it has not read when its sender closes
# (libzmq issue 4660). Our drain waits until it has read everything; a stock sender does
# not, however long its linger.
printf '\na slow stock receiver over ipc, 3000 messages:\n'
count=3000
for round in 1 2 3; do
    ours push "ipc://$work/s" single ''
    got=$("$venv/bin/python" peer.py pull "$bound" $count single 0.02 2>&1 | tail -1)
    wait $our_id || failed=$((failed + 1))
    printf 'our sender, drained: %s\n' "$got"
    [[ $got == "$count ok" ]] || failed=$((failed + 1))
    got=$("$venv/bin/python" stock_pair.py "ipc://$work/t" $count 0.02 2>&1 | tail -1)
    printf 'stock sender, linger for ever: %s\n' "$got"
done

((failed == 0)) || { printf '%d runs FAILED\n' "$failed"; exit 1; }
printf 'all runs passed\n'
