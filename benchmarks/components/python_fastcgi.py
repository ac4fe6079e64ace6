"""FastCGI records in Python: our shim's, and flup's."""

from __future__ import annotations

import importlib
import marshal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import inputs


def listed(pairs: dict[str, str]) -> bytes:
    """Variables in the form in which both sides are compared."""
    return "".join(f"{name}={value}\n" for name, value in sorted(pairs.items())).encode("latin-1")


class Source:
    """A socket from which flup reads."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def recv(self, length: int) -> bytes:
        part = self._data[self._at : self._at + length]
        self._at += len(part)
        return part

    def fileno(self) -> int:
        return -1


class Target:
    """A socket to which flup writes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def send(self, data: bytes) -> int:
        self.parts.append(data)
        return len(data)

    def fileno(self) -> int:
        return -1


def shim_decode(data: bytes) -> Callable[[], dict[str, str]]:
    records = importlib.import_module("pyspeed.records")

    def work() -> dict[str, str]:
        params = b"".join(content for kind, _, _, content in records.Parser().feed(data) if kind == 4)
        found: dict[str, str] = records.parse_pairs(params)
        return found

    return work


def shim_encode(environ: dict[str, str]) -> Callable[[], bytes]:
    records = importlib.import_module("pyspeed.records")
    begin = b"\0\1\1\0\0\0\0\0"

    def work() -> bytes:
        params = records.pack_pairs(environ)
        parts = ((1, begin), (4, params), (4, b""), (5, b""))
        return b"".join(records.record(kind, 1, content) for kind, content in parts)

    return work


def flup_decode(data: bytes) -> Callable[[], dict[str, str]]:
    flup = importlib.import_module("flup.server.fcgi_base")

    def work() -> dict[str, str]:
        source, params = Source(data), b""
        for _ in range(4):
            record = flup.Record()
            record.read(source)
            if record.type == 4:
                params += record.contentData
        found, at = {}, 0
        while at < len(params):
            at, (name, value) = flup.decode_pair(params, at)
            found[name] = value
        return {as_text(name): as_text(value) for name, value in found.items()}

    return work


def as_text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def flup_encode(environ: dict[str, str]) -> Callable[[], bytes]:
    flup = importlib.import_module("flup.server.fcgi_base")
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in environ.items()]

    def work() -> bytes:
        target = Target()
        params = b"".join(flup.encode_pair(name, value) for name, value in encoded)
        for kind, content in ((1, b"\0\1\1\0\0\0\0\0"), (4, params), (4, b""), (5, b"")):
            record = flup.Record(kind, 1)
            record.contentData, record.contentLength = content, len(content)
            record.write(target)
        return b"".join(target.parts)

    return work


def ways(folder: Path) -> list[Any]:
    data, environ = (folder / "request.fcgi").read_bytes(), inputs.environ()
    mark = marshal.dumps((environ, b""), 2)
    out: list[Any] = []
    for label, decode in (
        ("our shim, Python", shim_decode(data)),
        ("flup", flup_decode(data)),
        ("profile: marshal.loads (C)", lambda: marshal.loads(mark)[0]),
    ):
        out.append(("decode a FastCGI request", "browser", label, decode, lambda decode=decode: listed(decode())))
    for label, encode in (("our shim, Python", shim_encode(environ)), ("flup", flup_encode(environ))):

        def canonical(encode: Callable[[], bytes] = encode) -> bytes:
            return listed(shim_decode(encode())())

        out.append(("encode a FastCGI request", "browser", label, encode, canonical))
    return out
