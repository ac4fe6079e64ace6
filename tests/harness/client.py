"""A blocking client that sends exactly what it is told to."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .wire import Data, End, FramingError, Head, ResponseReader

# How long one receive may take before a test fails: generous, since nothing is measured with it.
PATIENCE = 30.0


@dataclass
class Response:
    head: Head
    body: bytes
    interim: list[Head]
    trailers: list[tuple[str, str]]

    @property
    def status(self) -> int:
        return self.head.status

    def get(self, name: str, default: str = "") -> str:
        return self.head.get(name, default)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Address:
    """Where a server listens: ("127.0.0.1", 80), ("::1", 80) or a socket's path."""

    host: str
    port: int = 0

    @classmethod
    def parse(cls, url: str) -> Address:
        """From ``http://127.0.0.1:80``, ``http://[::1]:80`` or ``unix:/path``."""
        if url.startswith("unix:"):
            return cls(url[len("unix:") :])
        host, _, port = url.split("://", 1)[-1].rstrip("/").rpartition(":")
        return cls(host.strip("[]"), int(port))

    @property
    def is_unix(self) -> bool:
        return self.host.startswith("/")

    @property
    def authority(self) -> str:
        if self.is_unix:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        """receive_buffer, in bytes, is set before connecting, so that the window stays small."""
        family = socket.AF_UNIX if self.is_unix else socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(PATIENCE)
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if self.is_unix:
                sock.connect(self.host)
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect((self.host, self.port))
        except BaseException:
            sock.close()
            raise
        return sock


def request(
    method: str,
    target: str,
    fields: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    *,
    host: str = "shop.test",
    version: str = "1.1",
) -> bytes:
    """One well-formed request; Content-Length is added when there is a body."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunked(pieces: Iterable[bytes], trailer: bytes = b"") -> bytes:
    """RFC 9112 §7.1; empty pieces are left out, for one would end the body."""
    out = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return out + b"0\r\n" + trailer + b"\r\n"


class Connection:
    """One connection; not thread-safe."""

    def __init__(self, address: Address, *, receive_buffer: int = 0, receive_size: int = 256 * 1024) -> None:
        self.address = address
        self.sock = address.connect(receive_buffer)
        self.reader = ResponseReader()
        self._receive_size = receive_size

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def vanish(self) -> None:
        """Closes with a reset, as a crashed client's kernel does."""
        if not self.address.is_unix:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def shut_down(self) -> None:
        """Ends both directions; whoever waits on the socket in another thread wakes."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the server was faster

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_pieces(self, data: bytes, sizes: Iterable[int]) -> None:
        """Sends data in writes of these sizes, then the rest in one."""
        start = 0
        for size in sizes:
            self.sock.sendall(data[start : start + size])
            start += size
        self.sock.sendall(data[start:])

    def send_lenient(self, data: bytes) -> bool:
        """Sends as far as the server lets us: it may answer and close before it has read everything."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def request(self, method: str, target: str, fields: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Response:
        self.send(request(method, target, fields, body, host=self.address.authority))
        return self.read_response(method)

    def events(self, method: str = "GET") -> Iterator[Head | Data | End]:
        """What arrives of the next answer, as it arrives; ends after ``End``."""
        self.reader.begin(method)
        while True:
            event = self.reader.next_event()
            if event is None:
                self._receive()
                continue
            yield event
            if isinstance(event, End):
                return

    def read_response(self, method: str = "GET") -> Response:
        interim: list[Head] = []
        final: Head | None = None
        body = bytearray()
        trailers: list[tuple[str, str]] = []
        for event in self.events(method):
            if isinstance(event, Head):
                if event.status < 200:
                    interim.append(event)
                else:
                    final = event
            elif isinstance(event, Data):
                body += event.data
            else:
                trailers = event.trailers
        assert final is not None
        return Response(final, bytes(body), interim, trailers)

    def read_until_closed(self) -> bytes:
        """The rest, as raw bytes; a reset after the last byte counts as an end."""
        out = bytearray(self.reader.buffer)
        self.reader.buffer.clear()
        while not self.reader.eof:
            try:
                data = self.sock.recv(self._receive_size)
            except ConnectionResetError:
                data = b""
            if not data:
                self.reader.eof = True
            out += data
        return bytes(out)

    def expect_closed(self) -> None:
        """The server closed, and sent nothing more before it did."""
        rest = self.read_until_closed()
        if rest:
            raise FramingError(f"{len(rest)} bytes after the last answer: {rest[:200]!r}")

    def _receive(self) -> None:
        if self.reader.eof:
            raise FramingError("the reader wants bytes after the end of the stream")
        try:
            self.reader.feed(self.sock.recv(self._receive_size))
        except ConnectionResetError:
            self.reader.feed(b"")


def fetch(
    address: Address, method: str, target: str, fields: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> Response:
    """One request on a connection of its own."""
    with Connection(address) as connection:
        return connection.request(method, target, fields, body)
