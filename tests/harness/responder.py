"""A FastCGI 1.0 responder that does exactly what a test tells it to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .client import PATIENCE

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
REQUEST_COMPLETE, CANT_MPX, OVERLOADED, UNKNOWN_ROLE = range(4)


def record(kind: int, content: bytes = b"", *, request: int = 1) -> bytes:
    """One record without padding."""
    return struct.pack(">BBHHBB", 1, kind, request, len(content), 0, 0) + content


def stream(kind: int, content: bytes) -> bytes:
    """Content of any length, without the stream's end."""
    return b"".join(record(kind, content[at : at + 65535]) for at in range(0, len(content), 65535))


def end(app_status: int = 0, protocol_status: int = REQUEST_COMPLETE) -> bytes:
    return record(END, struct.pack(">IBxxx", app_status, protocol_status))


def answer(body: bytes, head: bytes = b"Content-Type: text/plain\r\n") -> bytes:
    """A complete answer."""
    return stream(STDOUT, head + b"\r\n" + body) + record(STDOUT) + end()


def _pairs(data: bytes) -> dict[str, str]:
    params, at = {}, 0

    def length() -> int:
        nonlocal at
        size, at = data[at], at + 1
        if size >> 7:
            size = int.from_bytes(data[at - 1 : at + 3], "big") & 0x7FFFFFFF
            at += 3
        return size

    while at < len(data):
        name, value = length(), length()
        params[data[at : at + name].decode("latin-1")] = data[at + name : at + name + value].decode("latin-1")
        at += name + value
    return params


@dataclass
class Call:
    """One request, on the responder's side. The body is read by ``read`` or ``body``."""

    sock: socket.socket
    params: dict[str, str] = field(default_factory=dict)
    keep: bool = False
    buffer: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def next(self) -> tuple[int, bytes]:
        """The next record; EOFError at the end of the connection."""
        head = self._exactly(8)
        _, kind, _, size, padding, _ = struct.unpack(">BBHHBB", head)
        content = self._exactly(size)
        self._exactly(padding)
        return kind, content

    def _exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def head(self) -> None:
        """Reads BEGIN_REQUEST and PARAMS."""
        kind, content = self.next()
        if kind != BEGIN:
            raise EOFError
        self.keep = bool(content[2] & 1)
        self.ended = False
        params = bytearray()
        while True:
            kind, content = self.next()
            assert kind == PARAMS, kind
            if not content:
                break
            params += content
        self.params = _pairs(bytes(params))

    @property
    def path(self) -> str:
        return self.params["SCRIPT_NAME"] + self.params["PATH_INFO"]

    def read(self) -> bytes:
        """The next part of the body; empty at its end. EOFError if the client left."""
        if self.ended:
            return b""
        kind, content = self.next()
        if kind == ABORT:
            raise EOFError
        assert kind == STDIN, kind
        self.ended = not content
        return content

    def body(self) -> bytes:
        return b"".join(iter(self.read, b""))

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)


class Responder:
    """Listens on a unix socket; ``handle`` answers each request, on a thread for each connection."""

    def __init__(self, path: Path, handle: Callable[[Call], None]) -> None:
        self.address = f"unix:{path}"
        self.errors: list[BaseException] = []
        self._handle = handle
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1024)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Responder:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        assert not self.errors, self.errors

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            sock.settimeout(PATIENCE)
            call = Call(sock)
            try:
                call.head()
                self._handle(call)
                while call.keep:
                    call.body()
                    call.head()
                    self._handle(call)
            except (EOFError, ConnectionError, TimeoutError):
                pass  # the gateway closed
            except BaseException as error:
                self.errors.append(error)
