"""One side of an interoperability run over pyzmq:
peer.py push|pull ENDPOINT COUNT single|multi [PAUSE]

Calls the endpoint, or listens at it after an "@"; the messages are those of src/messages.rs. With PAUSE the
receiver is slow: it sleeps so many seconds after every hundredth message, and
counts instead of checking."""

import sys
import time
import zlib

import zmq


def make(n, shape):
    size = 20_000 if n % 1000 == 999 else n % 97
    body = bytes((n + at) & 255 for at in range(size))
    head = b"%08x%08x" % (n, zlib.crc32(body))
    return [head + body] if shape == "single" else [head, body, b""]


def main():
    role, endpoint, count, shape = sys.argv[1:5]
    pause = float(sys.argv[5]) if len(sys.argv) > 5 else None
    count = int(count)
    context = zmq.Context()
    socket = context.socket(zmq.PUSH if role == "push" else zmq.PULL)
    if pause is not None:
        socket.set_hwm(10)
    if endpoint.startswith("@"):
        socket.bind(endpoint[1:])
    else:
        socket.connect(endpoint)
    if role == "push":
        for n in range(count):
            socket.send_multipart(make(n, shape))
        socket.close(linger=30_000)
        context.term()
        return
    socket.rcvtimeo = 30_000 if pause is None else 3_000
    got = 0
    try:
        for n in range(count):
            frames = socket.recv_multipart()
            assert frames == make(n, shape), (n, frames)
            got += 1
            if pause is not None and n % 100 == 0:
                time.sleep(pause)
    except zmq.Again:
        pass
    print(got, "ok" if got == count else "of %d" % count, flush=True)
    sys.exit(got != count)


main()
