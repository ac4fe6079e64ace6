"""The responder's FastCGI codec: whole, byte by byte, in random pieces, with more behind it."""

from __future__ import annotations

import errno
import io
import random
import struct
import tempfile
from typing import Any, List, Tuple

import fastcgi_peer as peer
import pytest

from pyspeed import records
from pyspeed.fastcgi import codec
from pyspeed.fastcgi.body import MEMORY, Body

VALUES = {"FCGI_MAX_CONNS": "16", "FCGI_MAX_REQS": "16", "FCGI_MPXS_CONNS": "1"}
SEED = random.randrange(1 << 30)

Event = Tuple[str, int, Any]


def events(parts: List[bytes], **more: Any) -> List[Event]:
    """What comes out; the text of an error last."""
    incoming = codec.Incoming(VALUES, **more)
    found: List[Event] = []
    try:
        for part in parts:
            for event in incoming.feed(part):
                found.append(event)
    except records.ProtocolError as error:
        found.append(("error", 0, str(error)))
    return found


def in_pieces(data: bytes, numbers: random.Random) -> List[bytes]:
    marks = sorted(numbers.randrange(len(data) + 1) for _ in range(9))
    return [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)])]


STREAMS = {
    "a request": peer.request({"REQUEST_METHOD": "GET", "A": "1" * 127, "B": "2" * 128}, b"body"),
    "no parameters": peer.begin() + peer.record(peer.PARAMS, 1) + peer.record(peer.STDIN, 1),
    "padding": peer.begin() + peer.stream(peer.PARAMS, 1, peer.pairs({"A": "b"}), padding=255),
    "the largest record": peer.begin() + peer.record(peer.STDIN, 1, b"x" * 65535, 1),
    "two at once": peer.begin(1)
    + peer.begin(2, keep=True)
    + peer.stream(peer.PARAMS, 2, peer.pairs({"N": "2"}), size=1)
    + peer.record(peer.STDIN, 2, b"two")
    + peer.stream(peer.PARAMS, 1, peer.pairs({"N": "1"}))
    + peer.record(peer.ABORT, 2)
    + peer.record(peer.STDIN, 1, b"one"),
    "a foreign role": peer.begin(1, role=2) + peer.stream(peer.PARAMS, 1, b"x") + peer.begin(1),
    "values": peer.record(peer.GET_VALUES, 0, peer.pairs({"FCGI_MPXS_CONNS": "", "OTHER": ""})),
    "an unknown type": peer.record(99, 0, b"what") + peer.record(99, 7, b"what"),
    "nobody's records": peer.record(peer.STDIN, 3, b"x") + peer.record(peer.PARAMS, 3) + peer.begin(4),
    "a filter's data": peer.begin() + peer.record(peer.DATA, 1, b"x"),
    "another version": peer.begin() + peer.record(peer.STDIN, 1, b"x", version=2),
    "begun twice": peer.begin() + peer.begin(),
    "begun without an id": peer.begin(0),
    "a short begin": peer.record(peer.BEGIN, 1, b"\0\1\0"),
    "cut parameters": peer.begin() + peer.stream(peer.PARAMS, 1, b"\x05\x05ab"),
    "a cut length": peer.begin() + peer.stream(peer.PARAMS, 1, b"\x80\x00\x00"),
    "a length of 2^31-1": peer.begin() + peer.stream(peer.PARAMS, 1, b"\xff\xff\xff\xff\xff\xff\xff\xffab"),
    "values that are cut": peer.record(peer.GET_VALUES, 0, b"\x09\x00abc"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_pieces_make_no_difference(name: str) -> None:
    data = STREAMS[name]
    whole = events([data])
    assert whole, name
    assert events([data[i : i + 1] for i in range(len(data))]) == whole
    numbers = random.Random(SEED)
    for _ in range(20):
        assert events(in_pieces(data, numbers)) == whole, "seed %d" % SEED
    if whole[-1][0] != "error":
        behind = peer.begin(9)
        assert events([data + behind]) == [*whole, (codec.BEGIN, 9, False)]
        assert events([data, behind[:5]]) == whole


def test_a_request() -> None:
    assert events([peer.request({"A": "b"}, b"12345", 7, keep=True)]) == [
        (codec.BEGIN, 7, True),
        (codec.HEAD, 7, {"A": "b"}),
        (codec.BODY, 7, b"12345"),
        (codec.BODY, 7, b""),
    ]


@pytest.mark.parametrize("name", ["another version", "begun twice", "begun without an id", "a short begin"])
def test_what_is_no_fastcgi(name: str) -> None:
    assert events([STREAMS[name]])[-1][0] == "error"


@pytest.mark.parametrize("name", ["cut parameters", "a cut length", "a length of 2^31-1"])
def test_parameters_that_do_not_end(name: str) -> None:
    assert events([STREAMS[name]])[1:] == [("error", 0, events([STREAMS[name]])[1][2])]


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 129, 65535, 65536, 300000])
@pytest.mark.parametrize("long", [False, True])
def test_lengths_of_names_and_values(size: int, long: bool) -> None:
    text = "n" * size
    data = peer.pairs({text: "v", "name": text}, long)
    assert codec.parse_params(data) == {text: "v", "name": text}


def test_parameters_split_at_every_byte() -> None:
    data = peer.pairs({"A": "b" * 130, "HTTP_X": "caf\xe9"})
    for at in range(len(data) + 1):
        parts = b"".join(peer.record(peer.PARAMS, 1, part) for part in (data[:at], data[at:]) if part)
        found = events([peer.begin() + parts + peer.record(peer.PARAMS, 1)])
        assert found[1:] == [(codec.HEAD, 1, {"A": "b" * 130, "HTTP_X": "caf\xe9"})]


def test_repeated_parameters() -> None:
    data = b"".join(
        peer.pair(name, value)
        for name, value in [
            (b"SCRIPT_NAME", b"/a"),
            (b"HTTP_X", b"1"),
            (b"HTTP_COOKIE", b"a=1"),
            (b"SCRIPT_NAME", b"/b"),
            (b"HTTP_X", b"2"),
            (b"HTTP_COOKIE", b"b=2"),
            (b"HTTP_X", b"3"),
            (b"HTTP_HOST", b"a"),
            (b"HTTP_HOST", b"a:80"),
        ]
    )
    assert codec.parse_params(data) == {
        "SCRIPT_NAME": "/b",
        "HTTP_X": "1, 2, 3",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_HOST": "a:80",
    }


def test_too_many_bytes_of_parameters() -> None:
    data = peer.begin() + peer.stream(peer.PARAMS, 1, b"x" * 5000) + peer.begin(2) + peer.record(peer.PARAMS, 2)
    found = events([data], most_params=4999)
    assert found == [(codec.BEGIN, 1, False), (codec.HEAD, 1, None), (codec.BEGIN, 2, False), (codec.HEAD, 2, {})]


def test_an_ended_request_leaves_nothing_behind() -> None:
    incoming = codec.Incoming(VALUES)
    assert len(list(incoming.feed(peer.begin() + peer.stream(peer.PARAMS, 1, peer.pairs({"A": "1"}))))) == 2
    incoming.end(1)
    late = peer.record(peer.STDIN, 1, b"late") + peer.record(peer.STDIN, 1) + peer.record(peer.ABORT, 1)
    assert list(incoming.feed(late)) == []
    assert list(incoming.feed(peer.request({"A": "2"}))) == [
        (codec.BEGIN, 1, False),
        (codec.HEAD, 1, {"A": "2"}),
        (codec.BODY, 1, b""),
    ]


def test_values_and_unknown_types() -> None:
    ((_, _, reply),) = events([STREAMS["values"]])
    assert reply == peer.record(peer.GET_VALUES_RESULT, 0, peer.pairs({"FCGI_MPXS_CONNS": "1"}))
    ((_, _, reply),) = events([STREAMS["an unknown type"]])
    assert reply == peer.record(peer.UNKNOWN, 0, bytes([99]) + bytes(7))


def test_the_profile_is_never_granted() -> None:
    ((_, _, reply),) = events([peer.record(peer.GET_VALUES, 0, peer.pairs({"PYSPEED_PROFILE": ""}))])
    assert reply == peer.record(peer.GET_VALUES_RESULT, 0)


def test_what_is_sent() -> None:
    assert codec.stream(records.STDOUT, 5, b"") == []
    pieces = codec.stream(records.STDOUT, 5, b"x" * 70000)
    assert b"".join(pieces) == peer.record(peer.STDOUT, 5, b"x" * 65535) + peer.record(peer.STDOUT, 5, b"x" * 4465)
    end = struct.pack(">IB3x", 7, 0)
    assert codec.end_answer(5, 7) == peer.record(peer.STDOUT, 5) + peer.record(peer.END, 5, end)
    assert codec.end_request(5, 0, codec.UNKNOWN_ROLE) == peer.record(peer.END, 5, struct.pack(">IB3x", 0, 3))


def test_a_body_is_first_in_first_out() -> None:
    numbers = random.Random(SEED)
    body, written, read = Body(), bytearray(), bytearray()
    for _ in range(400):
        if numbers.random() < 0.6:
            data = numbers.getrandbits(8 * 8000).to_bytes(8000, "big")[: numbers.randrange(1, 8000)]
            body.append(data)
            written += data
        else:
            read += body.take(numbers.randrange(1, 9000))
        assert body.size == len(written) - len(read), "seed %d" % SEED
    read += body.take_all()
    assert read == written, "seed %d" % SEED
    assert body.take(1) == b""
    body.close()


def test_a_large_body_is_not_kept_in_memory() -> None:
    body = Body()
    for _ in range(8):
        body.append(b"x" * MEMORY)
    assert body._in_memory <= MEMORY
    assert len(body.take_all()) == 8 * MEMORY
    body.append(b"small")
    assert body._in_memory == 5, "in memory again once the file is read"
    body.close()


class FullDisk(io.RawIOBase):
    """A file that can be written to as long as nothing reaches it."""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = 0) -> int:
        return position

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_body_of_a_full_disk_can_be_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """close() of the file writes what it still holds, which fails too; nobody is there to be told."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: io.BufferedRandom(FullDisk()))
    body = Body()
    body.append(b"x" * MEMORY)
    body.append(b"a little that stays in the file's buffer")
    body.close()
    assert body.size == 0
