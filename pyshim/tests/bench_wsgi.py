"""What a hello-world WSGI request costs in a worker.

    python tests/bench_wsgi.py [seconds per row]

A forked child serves over a socketpair; this process plays the gateway and sends batches
of 1, 16 and 64 requests. The child's CPU time comes from the application itself, so nothing
else is counted, and whatever else the machine does changes little.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import mmap
import os
import platform
import resource
import socket
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pyspeed import records, wsgi
from pyspeed.control import Control

CURL = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "REQUEST_URI": "/",
    "RAW_URI": "/",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "50000",
    "HTTP_HOST": "127.0.0.1:8000",
}
BROWSER = {
    **CURL,
    "HTTP_CONNECTION": "keep-alive",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
    "HTTP_COOKIE": "session=0123456789abcdef; theme=dark",
}


def hello(environ: Dict[str, Any], start_response: Any) -> List[bytes]:
    body = b"Hello, world!"
    if environ["PATH_INFO"] == "/cpu":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        body = json.dumps([usage.ru_utime, usage.ru_stime]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def request(request_id: int, head: Dict[str, str]) -> bytes:
    """A REQUEST as the gateway writes it: strings as Latin-1 (`z`), no references."""
    out = [b"(\x02\0\0\0{"]
    for pair in head.items():
        for text in pair:
            out.append(b"z" + bytes([len(text)]) + text.encode("latin-1"))
    content = b"".join([*out, b"0s\0\0\0\0"])
    assert marshal.loads(content) == (head, b"")
    return records.record(records.REQUEST, request_id, content, 6 << 4)


def read(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += sock.recv(262144)
    return data


def cpu(sock: socket.socket) -> Tuple[float, float]:
    """(user, system) seconds of the worker so far."""
    sock.sendall(request(1, {**CURL, "PATH_INFO": "/cpu"}))
    content = sock.recv(65536)[records.HEADER_LENGTH :]
    user, system = json.loads(content[len(marshal.dumps(marshal.loads(content), 2)) :])
    return user, system


def measure(sock: socket.socket, batch: int, seconds: float, head: Dict[str, str]) -> Tuple[float, float, float]:
    """(user, system, wall) in microseconds per request."""
    data = b"".join(request(i + 1, head) for i in range(batch))
    sock.sendall(request(1, head))
    length = len(sock.recv(65536)) * batch
    rounds = 0
    before, start = cpu(sock), time.perf_counter()
    while time.perf_counter() - start < seconds:
        sock.sendall(data)
        read(sock, length)
        rounds += 1
    wall, after = time.perf_counter() - start, cpu(sock)
    each = 1e6 / (rounds * batch)
    return (after[0] - before[0]) * each, (after[1] - before[1]) * each, wall * each


@contextlib.contextmanager
def worker(threads: int = 0) -> Iterator[socket.socket]:
    """The gateway's end of the data socket of a worker that runs :func:`hello`."""
    ours, theirs = socket.socketpair()
    control, their_control = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        control.close()
        channel = Control(their_control)
        channel.start()
        os._exit(wsgi.run(hello, {"threads": threads}, theirs, mmap.mmap(-1, 65536), channel, channel.send))
    theirs.close()
    their_control.close()
    try:
        yield ours
    finally:
        control.close()
        ours.close()
        os.waitpid(pid, 0)


def main(seconds: float) -> None:
    print("Python %s; µs of the worker per request" % platform.python_version())
    print("%-8s %5s %6s %6s %6s" % ("head", "batch", "user", "system", "wall"))
    for name, head in (("curl", CURL), ("browser", BROWSER)):
        for batch in (1, 16, 64):
            with worker() as sock:
                # The best of five: what else runs on the machine only adds.
                rows = [measure(sock, batch, seconds / 5, head) for _ in range(5)]
                print("%-8s %5d %6.2f %6.2f %6.2f" % (name, batch, *min(rows, key=lambda row: row[0] + row[1])))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
