"""The FastCGI codec: every case whole, byte by byte, in random pieces, and with more behind it."""

from __future__ import annotations

import random
from typing import List

import pytest

from pyspeed import records
from pyspeed.connection import Connection

CASES = {
    "empty": [(records.STDIN, 7, 0, b"")],
    "one": [(records.STDOUT, 1, 0, b"hello")],
    "flags": [(records.RESPONSE, 65535, records.LAST, b"x")],
    "longest": [(records.STDOUT, 9, 0, b"y" * 65535)],
    "several": [(records.REQUEST, i, 0x60, bytes([i]) * i) for i in range(1, 40)],
}


def encode(case: List[records.Record], padding: int = 0) -> bytes:
    return b"".join(
        records.HEADER.pack(1, kind, request_id, len(content), padding, flags) + content + bytes(padding)
        for kind, request_id, flags, content in case
    )


def decode(pieces: List[bytes]) -> List[records.Record]:
    parser = records.Parser()
    found = [record for piece in pieces for record in parser.feed(piece)]
    assert not parser.partial
    return found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("padding", [0, 1, 255])
def test_any_chunking_gives_the_same_records(name: str, padding: int) -> None:
    case = CASES[name]
    data = encode(case, padding)
    assert decode([data]) == case
    if len(data) < 5000:
        assert decode([data[i : i + 1] for i in range(len(data))]) == case
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    pieces, rest = [], data
    while rest:
        count = rng.randint(1, max(1, len(data) // 3))
        pieces.append(rest[:count])
        rest = rest[count:]
    assert decode(pieces) == case
    parser = records.Parser()
    trailing = data + b"\x01\x06\x00"
    assert list(parser.feed(trailing)) == case
    assert parser.partial


def test_a_foreign_version_is_an_error() -> None:
    with pytest.raises(records.ProtocolError, match="version 2"):
        list(records.Parser().feed(b"\x02" + bytes(7)))


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 129, 255, 256, 65536])
def test_pairs_round_trip(length: int) -> None:
    pairs = {"n" * length + "x": "v" * length, "second": "\xff"}
    packed = records.pack_pairs(pairs)
    assert records.parse_pairs(packed) == pairs
    assert (packed[0] < 128) == (length + 1 < 128)


@pytest.mark.parametrize(
    "content",
    [b"\x05", b"\x01\x05a", b"\x80\x00\x00", b"\x01\x80\x00\x00", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x02\x00a"],
)
def test_pairs_that_are_cut_off_are_an_error(content: bytes) -> None:
    with pytest.raises(records.ProtocolError, match="cannot read name-value pairs"):
        records.parse_pairs(content)


def test_end_request_and_window() -> None:
    (end,) = decode([records.end_request(3, records.APP_FAILED)])
    assert end[:3] == (records.END_REQUEST, 3, 0)
    assert records.parse_end_request(end[3]) == (1, 0)
    (window,) = decode([records.window(4, 4294967295)])
    assert window[:3] == (records.WINDOW, 4, 0)
    assert records.parse_window(window[3]) == 4294967295
    for parse in (records.parse_window, records.parse_end_request):
        with pytest.raises(records.ProtocolError):
            parse(b"abc")


@pytest.mark.parametrize("length", [0, 1, 65535, 65536, 131070, 200000])
def test_split_and_joiner_are_inverse(length: int) -> None:
    content = random.Random(length).randbytes(length)
    joiner = records.Joiner()
    parts = decode([b"".join(records.split(records.MESSAGE, 0, content))])
    results = [joiner.add(request_id, flags, part) for _, request_id, flags, part in parts]
    assert results[:-1] == [None] * (len(parts) - 1)
    assert results[-1] == content


def test_values_result_answers_only_what_is_known() -> None:
    asked = records.pack_pairs({"FCGI_MPXS_CONNS": "", "PYSPEED_PROFILE": "", "OTHER": ""})
    (answer,) = decode([records.values_result(asked)])
    assert answer[0] == records.GET_VALUES_RESULT
    assert records.parse_pairs(answer[3]) == {"FCGI_MPXS_CONNS": "1", "PYSPEED_PROFILE": "1"}


@pytest.mark.parametrize("padding", [0, 3])
def test_the_hot_loop_agrees_with_the_parser(padding: int) -> None:
    """Connection.feed inlines the parsing: any chunking must give the same requests."""
    case = [(records.REQUEST, i, 0x60, bytes([i]) * i) for i in range(1, 20)]
    case.insert(5, (records.WINDOW, 3, 0, b"\0\0\0\1"))
    case.insert(9, (records.REQUEST, 100, 0x60 | records.MORE, b"first "))
    case.insert(10, (records.REQUEST, 100, 0x60, b"second"))
    data = encode(case, padding)
    expected = [(i, 0x60, bytes([i]) * i, None) for i in range(1, 20)]
    expected.insert(8, (100, 0x60, b"first second", None))
    for size in (len(data), 1, 7, 64):
        import socket

        ours, theirs = socket.socketpair()
        with ours, theirs:
            connection = Connection(ours)
            for i in range(0, len(data), size):
                connection.feed(data[i : i + size])
            assert list(connection.queue) == expected
            assert not connection.partial
