"""A web server's side of FastCGI 1.0, for tests, which shares no code with the responder; and a responder process.

>>> with Responder("fastcgi_apps:wsgi") as responder, responder.connect() as client:
...     assert client.get("/hello").body == b"hello"
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

HERE = Path(__file__).resolve().parent
SHIM = HERE.parent
TIMEOUT = 30.0

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, GET_VALUES_RESULT, UNKNOWN = range(1, 12)

Record = Tuple[int, int, bytes]  # type, id, content


def record(kind: int, request_id: int, content: bytes = b"", padding: int = 0, version: int = 1) -> bytes:
    head = struct.pack(">BBHHBB", version, kind, request_id, len(content), padding, 0)
    return head + content + b"\xff" * padding


def begin(request_id: int = 1, keep: bool = False, role: int = 1) -> bytes:
    return record(BEGIN, request_id, struct.pack(">HB5x", role, int(keep)))


def pair(name: bytes, value: bytes, long: bool = False) -> bytes:
    def length(data: bytes) -> bytes:
        return bytes([len(data)]) if len(data) < 128 and not long else struct.pack(">I", len(data) | 1 << 31)

    return length(name) + length(value) + name + value


def pairs(params: Dict[str, str], long: bool = False) -> bytes:
    return b"".join(pair(name.encode("latin-1"), value.encode("latin-1"), long) for name, value in params.items())


def stream(kind: int, request_id: int, data: bytes, size: int = 65535, padding: int = 0) -> bytes:
    """The records of a whole stream, its end included."""
    parts = [record(kind, request_id, data[at : at + size], padding) for at in range(0, len(data), size)]
    return b"".join(parts) + record(kind, request_id)


def environment(path: str = "/", method: str = "GET", body: bytes = b"", **more: str) -> Dict[str, str]:
    """As nginx's fastcgi_params has it."""
    plain, _, query = path.partition("?")
    found = {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "SCRIPT_NAME": plain,
        "REQUEST_URI": path,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "4711",
        "SERVER_PORT": "80",
        "SERVER_NAME": "peer.test",
        "HTTP_HOST": "peer.test",
    }
    found.update(more)
    return found


def request(params: Dict[str, str], body: bytes = b"", request_id: int = 1, keep: bool = False) -> bytes:
    """A whole request."""
    return begin(request_id, keep) + stream(PARAMS, request_id, pairs(params)) + stream(STDIN, request_id, body)


class Answer:
    """What came for one request."""

    def __init__(self) -> None:
        self.kinds: List[int] = []
        self.chunks: List[bytes] = []  # content of STDOUT records
        self.stderr = b""
        self.app_status: Optional[int] = None  # of END_REQUEST
        self.protocol_status: Optional[int] = None

    @property
    def output(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def ended(self) -> bool:
        return self.app_status is not None

    @property
    def status(self) -> str:
        return self.field("Status")

    @property
    def fields(self) -> List[Tuple[str, str]]:
        lines = self.output.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        return [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines]

    def field(self, name: str) -> str:
        return ", ".join(value for found, value in self.fields if found.lower() == name.lower())

    @property
    def body(self) -> bytes:
        return self.output.partition(b"\r\n\r\n")[2]


class Client:
    """One connection of a web server."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(TIMEOUT)
        self.sock = sock
        self.answers: Dict[int, Answer] = {}
        self.management: List[Record] = []
        self._buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def next_record(self) -> Optional[Record]:
        """The next record; None at the end of the connection, which must be between two."""
        while True:
            if len(self._buffer) >= 8:
                version, kind, request_id, length, padding, _ = struct.unpack(">BBHHBB", self._buffer[:8])
                assert version == 1
                if len(self._buffer) >= 8 + length + padding:
                    content = self._buffer[8 : 8 + length]
                    self._buffer = self._buffer[8 + length + padding :]
                    return kind, request_id, content
            data = self.sock.recv(262144)
            if not data:
                assert not self._buffer, "the connection ends inside a record"
                return None
            self._buffer += data

    def take(self) -> Optional[Record]:
        """Read one record into its answer."""
        found = self.next_record()
        if found is None:
            return None
        kind, request_id, content = found
        if request_id == 0:
            self.management.append(found)
            return found
        answer = self.answers.setdefault(request_id, Answer())
        assert not answer.ended, "a record after END_REQUEST"
        answer.kinds.append(kind)
        if kind == STDOUT:
            answer.chunks.append(content)
        elif kind == STDERR:
            answer.stderr += content
        elif kind == END:
            answer.app_status, answer.protocol_status = struct.unpack(">IB3x", content)
        return found

    def answer(self, request_id: int = 1) -> Answer:
        """Read until the request's end; takes it out."""
        while not self.answers.setdefault(request_id, Answer()).ended:
            assert self.take() is not None, "the connection ends before the answer does"
        return self.answers.pop(request_id)

    def body_so_far(self, size: int, request_id: int = 1) -> bytes:
        """Read until ``size`` bytes of body are there."""
        while len(self.answers.setdefault(request_id, Answer()).body) < size:
            assert self.take() is not None, "the connection ends before the answer does"
        return self.answers[request_id].body

    def get(self, path: str, keep: bool = False, **more: str) -> Answer:
        self.send(request(environment(path, **more), keep=keep))
        return self.answer()

    def post(self, path: str, body: bytes, keep: bool = False, **more: str) -> Answer:
        self.send(request(environment(path, "POST", body, **more), body, keep=keep))
        return self.answer()

    def at_end(self) -> bool:
        """Read on: whether nothing comes before the end of the connection."""
        try:
            return self.next_record() is None
        except ConnectionResetError:
            return True


class Responder:
    """``python -m pyspeed --fastcgi``, ready to be used."""

    def __init__(self, target: str, *options: str, address: str = "", ready: bool = True, **more: Any) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._folder.name, "s")
        self.address = address or "unix:" + self.path
        self.log_path = os.path.join(self._folder.name, "log")
        words = [self.address] if self.address != "none" else []
        environ = {**os.environ, "PYTHONPATH": str(SHIM), "TMPDIR": self._folder.name, **more.pop("env", {})}
        self._log = open(self.log_path, "wb")  # noqa: SIM115 - closed with the responder
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "pyspeed", "--fastcgi", *words, target, *options],
            cwd=HERE,
            env=environ,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            **{"stdin": subprocess.DEVNULL, **more},
        )
        if ready:
            try:
                self.wait_for_log(" is served on ")
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Responder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def log(self) -> str:
        return Path(self.log_path).read_text(errors="replace")

    def wait_for_log(self, text: str) -> None:
        self.until(lambda: text in self.log, "%r in the log" % text)

    def until(self, condition: Any, what: str) -> None:
        """Look again and again, where nothing tells."""
        end = time.monotonic() + TIMEOUT
        while not condition():
            if self.process.poll() is not None and not condition():
                raise AssertionError("it ended with %r before %s:\n%s" % (self.process.returncode, what, self.log))
            if time.monotonic() > end:
                raise AssertionError("waited in vain for %s:\n%s" % (what, self.log))
            time.sleep(0.005)

    @property
    def where(self) -> str:
        """The address in the log: with the port that it got."""
        return self.log.partition(" is served on ")[2].partition(",")[0]

    def connect(self) -> Client:
        if self.where.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(TIMEOUT)
            sock.connect(self.path)
            return Client(sock)
        host, _, port = self.where.rpartition(":")
        return Client(socket.create_connection((host.strip("[]"), int(port)), TIMEOUT))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()
        self._folder.cleanup()
