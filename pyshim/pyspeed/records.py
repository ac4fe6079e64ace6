"""FastCGI 1.0 records and the profile ``pyspeed/1``, without any I/O.

In: bytes as they came from a socket. Out: records, and bytes to send. The hot
loops (``connection.py``, ``asgi.py``) inline ``HEADER.unpack_from`` instead of
using :class:`Parser`, as a call per record would cost more than the parsing.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Final, Iterator, List, Optional, Tuple, Union

    Buffer = Union[bytes, bytearray, memoryview]
    Record = Tuple[int, int, int, bytes]  # type, request id, flags, content

VERSION: Final = 1

ABORT_REQUEST: Final = 2
END_REQUEST: Final = 3
STDIN: Final = 5
STDOUT: Final = 6
STDERR: Final = 7
GET_VALUES: Final = 9
GET_VALUES_RESULT: Final = 10
UNKNOWN_TYPE: Final = 11
REQUEST: Final = 64
RESPONSE: Final = 65
WINDOW: Final = 66
MESSAGE: Final = 68

BODY: Final = 1  # flag of REQUEST: STDIN records follow
LAST: Final = 1  # flag of RESPONSE: the answer is complete
MORE: Final = 2  # flag of REQUEST, RESPONSE, MESSAGE: continued in the next record

APP_COMPLETE: Final = 0
APP_FAILED: Final = 1
APP_ABORTED: Final = 2

HEADER_LENGTH: Final = 8
MAX_CONTENT: Final = 65535
INPUT_WINDOW: Final = 262144  # STDIN bytes that may be on their way before the first WINDOW
MIN_WINDOW: Final = 4096  # an answer's window is MIN_WINDOW << (flags >> 4)

# version, type, request id, content length, padding length, flags
HEADER: Final = struct.Struct("!BBHHBB")
_END: Final = struct.Struct("!BBHHBBIB3x")
_WINDOW: Final = struct.Struct("!BBHHBBI")
_U32: Final = struct.Struct("!I")


class ProtocolError(Exception):
    """The peer sent bytes that are no FastCGI; where its records start is unknown from here on."""


def record(kind: int, request_id: int, content: Buffer = b"", flags: int = 0) -> bytes:
    """One record. ``content`` has at most 65,535 bytes."""
    return HEADER.pack(VERSION, kind, request_id, len(content), 0, flags) + content


def split(kind: int, request_id: int, content: Buffer, flags: int = 0) -> List[bytes]:
    """Records of ``kind`` that carry content of any length; all but the last have MORE set."""
    view = memoryview(content)
    parts = []
    while len(view) > MAX_CONTENT:
        parts.append(record(kind, request_id, view[:MAX_CONTENT], flags | MORE))
        view = view[MAX_CONTENT:]
    parts.append(record(kind, request_id, view, flags))
    return parts


def end_request(request_id: int, app_status: int) -> bytes:
    """END_REQUEST with protocolStatus FCGI_REQUEST_COMPLETE (FastCGI §5.5)."""
    return _END.pack(VERSION, END_REQUEST, request_id, 8, 0, 0, app_status, 0)


def window(request_id: int, credit: int) -> bytes:
    """WINDOW: ``credit`` more bytes may be sent for this request."""
    return _WINDOW.pack(VERSION, WINDOW, request_id, 4, 0, 0, credit)


def parse_window(content: Buffer) -> int:
    """The credit in a WINDOW record's content."""
    if len(content) < 4:
        raise ProtocolError("cannot read a WINDOW record: it has %d of 4 bytes" % len(content))
    credit: int = _U32.unpack_from(content)[0]
    return credit


def parse_end_request(content: Buffer) -> Tuple[int, int]:
    """(appStatus, protocolStatus) in an END_REQUEST record's content."""
    if len(content) < 8:
        raise ProtocolError("cannot read an END_REQUEST record: it has %d of 8 bytes" % len(content))
    app_status: int = _U32.unpack_from(content)[0]
    return app_status, content[4]


def pack_pairs(pairs: Dict[str, str]) -> bytes:
    """Name-value pairs (FastCGI §3.4)."""
    out = []
    for name, value in pairs.items():
        n, v = name.encode("latin-1"), value.encode("latin-1")
        for data in (n, v):
            # FastCGI §3.4: lengths up to 127 take one byte, others four with the high bit set.
            out.append(bytes([len(data)]) if len(data) < 128 else _U32.pack(len(data) | 0x80000000))
        out.append(n)
        out.append(v)
    return b"".join(out)


def parse_pairs(content: Buffer) -> Dict[str, str]:
    """The pairs in ``content``; raises ProtocolError when they are cut off."""
    pairs: Dict[str, str] = {}
    pos, end = 0, len(content)
    while pos < end:
        lengths = []
        for _ in range(2):
            if pos >= end:
                raise ProtocolError("cannot read name-value pairs: cut off in a length")
            length = content[pos]
            if length < 128:
                pos += 1
            elif pos + 4 > end:
                raise ProtocolError("cannot read name-value pairs: cut off in a length")
            else:
                length = _U32.unpack_from(content, pos)[0] & 0x7FFFFFFF
                pos += 4
            lengths.append(length)
        middle = pos + lengths[0]
        stop = middle + lengths[1]
        if stop > end:
            raise ProtocolError("cannot read name-value pairs: a value ends %d bytes too late" % (stop - end))
        pairs[bytes(content[pos:middle]).decode("latin-1")] = bytes(content[middle:stop]).decode("latin-1")
        pos = stop
    return pairs


def values_result(asked: Buffer) -> bytes:
    """The GET_VALUES_RESULT record (FastCGI §4.1) that answers GET_VALUES with this content."""
    known = {"FCGI_MAX_CONNS": "1", "FCGI_MAX_REQS": "65535", "FCGI_MPXS_CONNS": "1", "PYSPEED_PROFILE": "1"}
    return record(GET_VALUES_RESULT, 0, pack_pairs({name: known[name] for name in parse_pairs(asked) if name in known}))


def unknown_type(kind: int) -> bytes:
    """The UNKNOWN_TYPE record (FastCGI §4.2) that answers a management record of a foreign type."""
    return record(UNKNOWN_TYPE, 0, bytes([kind]) + bytes(7))


class Parser:
    """Finds records in bytes that arrive in pieces of any size."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Record]:
        """Yield the records that are complete with ``data``; the rest is kept.

        The iterator must be exhausted before the next call.
        """
        if self._rest:
            data = self._rest + data
        pos, end = 0, len(data)
        while end - pos >= HEADER_LENGTH:
            version, kind, request_id, length, padding, flags = HEADER.unpack_from(data, pos)
            if version != VERSION:
                raise ProtocolError("cannot read a record: version %d instead of 1" % version)
            start = pos + HEADER_LENGTH
            stop = start + length
            if stop + padding > end:
                break
            pos = stop + padding
            yield kind, request_id, flags, data[start:stop]
        self._rest = data[pos:]

    @property
    def partial(self) -> bool:
        """Whether the bytes so far end inside a record."""
        return bool(self._rest)

    def take_rest(self) -> bytes:
        """The bytes after the last whole record; they are the caller's from here on."""
        rest, self._rest = self._rest, b""
        return rest


class Joiner:
    """Puts together content that was split with flag MORE; one per record type."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: Dict[int, List[bytes]] = {}

    def add(self, request_id: int, flags: int, content: bytes) -> Optional[bytes]:
        """The whole content, or None while MORE is set."""
        if flags & MORE:
            self._parts.setdefault(request_id, []).append(content)
            return None
        parts = self._parts.pop(request_id, None)
        if parts is None:
            return content
        parts.append(content)
        return b"".join(parts)
