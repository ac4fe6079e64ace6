"""The FastCGI codec: every case whole, byte by byte, in random pieces, and with more behind it."""

from __future__ import annotations

import marshal
import random
import socket
from typing import Iterator, List

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


SEED = random.randrange(1 << 30)


@pytest.fixture
def connection() -> Iterator[Connection]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Connection(ours)


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
        ours, theirs = socket.socketpair()
        with ours, theirs:
            connection = Connection(ours)
            for i in range(0, len(data), size):
                connection.feed(data[i : i + size])
            assert list(connection.queue) == expected
            assert not connection.partial


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("most", [9, 1000, 70000, 131008, 1 << 30])
def test_a_record_that_a_read_has_cut(connection: Connection, most: int, padding: int) -> None:
    """Only that one is joined; requests, bodies and credit are the same however the bytes are cut."""
    rng = random.Random(SEED)
    head = marshal.dumps(({}, None), 2)
    body = [rng.randbytes(rng.choice((1, 100, 5000, 65535))) for _ in range(12)]
    case = [(records.REQUEST, 7, 0x60 | records.BODY, head)]
    for number, piece in enumerate(body, 10):
        case += [(records.STDIN, 7, 0, piece), (records.REQUEST, number, 0x60, bytes([number]) * rng.randrange(300))]
    case += [(records.STDIN, 7, 0, b""), (records.ABORT_REQUEST, 15, 0, b"")]
    data = encode(case, padding)
    pos = 0
    while pos < len(data):
        size = rng.randrange(1, most)
        connection.feed(data[pos : pos + size])
        pos += size
    stream = connection.queue[0][3]
    assert stream is not None
    assert stream.read_all() == b"".join(body), "seed %d" % SEED
    queued = [(item[0], item[1], item[2]) for item in list(connection.queue)[1:]]
    assert queued == [(n, f, c) for kind, n, f, c in case[1:] if kind == records.REQUEST], "seed %d" % SEED
    assert connection.aborted == {15}
    assert not connection.partial


def test_a_cut_record_of_another_version_is_refused(connection: Connection) -> None:
    good = records.record(records.STDIN, 1, b"x" * 100)
    connection.feed(good + good[:50])
    with pytest.raises(records.ProtocolError):
        connection.feed(good[50:] + b"\2" + bytes(7))


def test_what_reclaim_leaves_is_fed_whole(connection: Connection) -> None:
    simple = records.record(records.REQUEST, 3, b"head", 0x60)
    long = b"".join(
        (
            records.record(records.REQUEST, 4, b"one ", 0x60 | records.MORE),
            records.record(records.REQUEST, 4, b"two", 0x60),
        )
    )
    last = records.record(records.REQUEST, 5, b"last", 0x60)
    assert connection.reclaim_unread(long + simple + last[:9]) == [3]
    connection.feed(b"")
    connection.feed(last[9:])
    assert [(item[0], item[2]) for item in connection.queue] == [(4, b"one two"), (5, b"last")]
