"""A strict, sans-I/O reader of HTTP/1.1 answers.

Clients such as http.client forgive much; a test of framing may not. Bytes go in
with ``feed``, events come out of ``next_event``; every departure from RFC 9112
raises ``FramingError``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Union

# RFC 9112 §4: status-line. The reason phrase may be empty, its space may not.
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)\Z")
# RFC 9110 §5.6.2 (token) and §5.5 (field-content without leading or trailing white space).
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}\Z")

MAX_HEAD = 1 << 20


class FramingError(AssertionError):
    """The peer's bytes are not one well-framed answer after another."""


@dataclass
class Head:
    """A status line and header fields, informational (1xx) answers included."""

    status: int
    reason: str
    fields: list[tuple[str, str]]

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str, default: str = "") -> str:
        values = self.get_all(name)
        if len(values) > 1:
            raise FramingError(f"{name} occurs {len(values)} times: {values}")
        return values[0] if values else default

    @property
    def closes(self) -> bool:
        """Whether the server says it will close (RFC 9112 §9.6)."""
        options = ",".join(self.get_all("connection")).lower().split(",")
        return "close" in [option.strip() for option in options]


@dataclass
class Data:
    """Body bytes, as soon as they are there."""

    data: bytes


@dataclass
class End:
    """The answer is complete."""

    trailers: list[tuple[str, str]] = field(default_factory=list)


Event = Union[Head, Data, End]  # in an expression, | needs Python 3.10


class ResponseReader:
    """Reads answers one after the other.

    ``begin(method)`` says what the next answer answers; ``next_event`` returns
    None when more bytes are needed.
    """

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.eof = False
        self._method = ""
        self._state = "idle"
        self._left = 0

    def begin(self, method: str) -> None:
        if self._state != "idle":
            raise RuntimeError(f"begin() inside an answer ({self._state})")
        self._method = method
        self._state = "head"

    def feed(self, data: bytes) -> None:
        """Takes what the socket gave; b"" is its end."""
        if data:
            self.buffer += data
        else:
            self.eof = True

    def next_event(self) -> Event | None:
        if self._state == "head":
            return self._head()
        if self._state == "length":
            return self._length()
        if self._state == "until-eof":
            return self._until_eof()
        if self._state in ("chunk-size", "chunk-data", "chunk-end", "trailers"):
            return self._chunked()
        if self._state == "done":
            self._state = "idle"
            return End()
        raise RuntimeError("next_event() without begin()")

    def _line(self, what: str) -> bytes | None:
        end = self.buffer.find(b"\n")
        if end < 0:
            if len(self.buffer) > MAX_HEAD:
                raise FramingError(f"{what} is longer than {MAX_HEAD} bytes")
            if self.eof:
                raise FramingError(f"connection closed inside {what}: {bytes(self.buffer[:200])!r}")
            return None
        line = bytes(self.buffer[:end])
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise FramingError(f"{what} does not end in CR LF: {line[:200]!r}")
        del self.buffer[: end + 1]
        return line[:-1]

    def _fields(self, block: bytes) -> list[tuple[str, str]]:
        fields = []
        for line in block.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if not colon or not _TOKEN.match(name):
                raise FramingError(f"bad field name: {line[:200]!r}")
            value = value.strip(b" \t")
            if not _VALUE.match(value):
                raise FramingError(f"bad field value: {line[:200]!r}")
            fields.append((name.decode("ascii"), value.decode("latin-1")))
        return fields

    def _head(self) -> Head | None:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > MAX_HEAD:
                raise FramingError(f"head is longer than {MAX_HEAD} bytes")
            if self.eof:
                raise FramingError(f"connection closed before a whole head: {bytes(self.buffer[:200])!r}")
            return None
        block = bytes(self.buffer[:end])
        del self.buffer[: end + 4]
        line, _, rest = block.partition(b"\r\n")
        match = _STATUS_LINE.match(line)
        if not match:
            raise FramingError(f"bad status line: {line[:200]!r}")
        head = Head(int(match[1]), match[2].decode("latin-1"), self._fields(rest) if rest else [])
        self._frame(head)
        return head

    def _frame(self, head: Head) -> None:
        """RFC 9112 §6.3: how long the body is."""
        length, coding = head.get_all("content-length"), head.get_all("transfer-encoding")
        if length and coding:
            raise FramingError("Content-Length and Transfer-Encoding together (RFC 9112 §6.2)")
        if len(length) > 1 or len(coding) > 1:
            raise FramingError(f"more than one framing field: {length} {coding}")
        if length and not re.fullmatch(r"[0-9]+", length[0]):
            raise FramingError(f"bad Content-Length {length[0]!r}")
        if coding and coding[0].lower() != "chunked":
            raise FramingError(f"bad Transfer-Encoding {coding[0]!r}")
        if head.status < 200 or head.status == 204:
            # RFC 9110 §8.6, RFC 9112 §6.1: neither field may be sent with these.
            if length or coding:
                raise FramingError(f"{head.status} with {length or coding}")
            self._state = "head" if head.status < 200 else "done"
            if head.status == 101:
                raise FramingError("101 to a request that did not ask to switch")
        elif self._method == "HEAD" or head.status == 304:
            self._state = "done"
        elif coding:
            self._state = "chunk-size"
        elif length:
            self._left = int(length[0])
            self._state = "length" if self._left else "done"
        else:
            self._state = "until-eof"

    def _take(self) -> bytes:
        data = bytes(self.buffer[: self._left])
        del self.buffer[: len(data)]
        self._left -= len(data)
        return data

    def _length(self) -> Event | None:
        if not self.buffer:
            if self.eof:
                raise FramingError(f"connection closed {self._left} bytes before the end of the body")
            return None
        data = self._take()
        if self._left == 0:
            self._state = "done"
        return Data(data)

    def _until_eof(self) -> Event | None:
        if self.buffer:
            data = bytes(self.buffer)
            self.buffer.clear()
            return Data(data)
        if not self.eof:
            return None
        self._state = "idle"
        return End()

    def _chunked(self) -> Event | None:
        while True:
            if self._state == "chunk-size":
                line = self._line("chunk size")
                if line is None:
                    return None
                if not _CHUNK_SIZE.match(line):
                    raise FramingError(f"bad chunk size {line[:100]!r}")
                self._left = int(line, 16)
                self._state = "chunk-data" if self._left else "trailers"
                self._trailers: list[bytes] = []
            elif self._state == "chunk-data":
                if not self.buffer:
                    if self.eof:
                        raise FramingError("connection closed inside a chunk")
                    return None
                data = self._take()
                if self._left == 0:
                    self._state = "chunk-end"
                return Data(data)
            elif self._state == "chunk-end":
                line = self._line("chunk end")
                if line is None:
                    return None
                if line:
                    raise FramingError(f"chunk not followed by CR LF: {line[:100]!r}")
                self._state = "chunk-size"
            else:
                line = self._line("trailers")
                if line is None:
                    return None
                if line:
                    self._trailers.append(line)
                    continue
                self._state = "idle"
                return End(self._fields(b"\r\n".join(self._trailers)) if self._trailers else [])
