"""stock_pair.py ENDPOINT COUNT PAUSE: what a slow stock receiver gets of a stock sender
that closes with endless linger."""

import subprocess
import sys
import zlib

import zmq

endpoint, count, pause = sys.argv[1:4]
context = zmq.Context()
socket = context.socket(zmq.PUSH)
socket.bind(endpoint)
receiver = subprocess.Popen(
    [sys.executable, __file__.replace("stock_pair", "peer"), "pull", endpoint, count, "single", pause],
    stdout=subprocess.PIPE,
    text=True,
)
for n in range(int(count)):
    size = 20_000 if n % 1000 == 999 else n % 97
    body = bytes((n + at) & 255 for at in range(size))
    socket.send(b"%08x%08x" % (n, zlib.crc32(body)) + body)
socket.close(linger=-1)
context.term()
print(receiver.communicate()[0].strip())
