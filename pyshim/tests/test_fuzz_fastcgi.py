"""Fuzzing of the responder's codec.

The invariant: whatever the bytes, events or a ProtocolError come out, nothing else; and however the bytes are
cut, the same ones. ``PYSPEED_FUZZ_SECONDS`` (as ``make fuzz`` sets it) goes on for so long; the seed is in the
failure's message.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any, List, Tuple

import fastcgi_peer as peer

from pyspeed import records
from pyspeed.fastcgi import answer as fastcgi_answer
from pyspeed.fastcgi import codec as fastcgi_codec
from pyspeed.fastcgi import params as fastcgi_params

KINDS = (1, 1, 2, 4, 4, 4, 5, 5, 5, 3, 6, 7, 8, 9, 10, 11, 64, 65, 99, 255)
NAMES = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "CONTENT_LENGTH", "HTTP_HOST", "HTTPS", "HTTP_X")
VALUES = ("GET", "/", "/a%ffb", "//", "*", "http://h?q", "", "5", "-1", "\xff", "on", "[::1]:80", "99999", "x.y")


def a_stream(numbers: random.Random) -> bytes:
    """Records, most of them in an order that means something, some spoilt, some cut."""
    out = bytearray()
    for _ in range(numbers.randrange(1, 16)):
        kind, request_id = numbers.choice(KINDS), numbers.choice((0, 1, 1, 2, 65535))
        if kind == 1:
            content = bytes([0, numbers.choice((1, 1, 1, 2, 9)), numbers.randrange(3), 0, 0, 0, 0, 0])
        elif kind in (4, 9) and numbers.random() < 0.8:
            found = {numbers.choice(NAMES): numbers.choice(VALUES) for _ in range(numbers.randrange(4))}
            content = peer.pairs(found, numbers.random() < 0.2)
        else:
            content = bytes(numbers.randrange(256) for _ in range(numbers.choice((0, 0, 1, 8, 200))))
        out += peer.record(kind, request_id, content, numbers.choice((0, 0, 7, 255)))
    for _ in range(numbers.choice((0, 0, 1, 3))):
        out[numbers.randrange(len(out))] = numbers.randrange(256)
    if numbers.random() < 0.3:
        del out[numbers.randrange(len(out)) :]
    return bytes(out)


def parse(parts: List[bytes]) -> Tuple[List[Any], str]:
    incoming = fastcgi_codec.Incoming({"FCGI_MPXS_CONNS": "1"}, most_params=600)
    found: List[Any] = []
    for part in parts:
        try:
            for event in incoming.feed(part):
                found.append(event)
        except records.ProtocolError as error:
            return found, str(error)
    return found, ""


def check(seed: int) -> None:
    numbers = random.Random(seed)
    data = a_stream(numbers)
    whole = parse([data])
    marks = sorted(numbers.randrange(len(data) + 1) for _ in range(numbers.randrange(8)))
    for parts in (
        [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)])],
        [data[i : i + 1] for i in range(len(data))],
    ):
        assert parse(parts) == whole, "seed %d" % seed
    for what, _, value in whole[0]:
        if what == fastcgi_codec.HEAD and value is not None:
            heads(value, seed)


def heads(params: Any, seed: int) -> None:
    """Any parameters make a request or a BadRequest."""
    try:
        environ = fastcgi_params.environ(params)
        scope = fastcgi_params.scope(params, "/shop")
    except fastcgi_params.BadRequest:
        return
    assert environ["SERVER_NAME"], "seed %d" % seed
    assert "HTTP_PROXY" not in environ, "seed %d" % seed
    assert all("." not in name or name == "wsgi.url_scheme" for name in environ), "seed %d" % seed
    assert scope["path"].startswith("/shop"), "seed %d" % seed
    try:
        answer = fastcgi_answer.Answer(200, [("X", value) for value in params.values()], False)
    except (ValueError, UnicodeEncodeError):
        return
    assert answer.head.count(b"\r\n") == 2 + len(params), "seed %d" % seed


def test_fuzz_fastcgi() -> None:
    for seed in range(300):
        check(seed)
    until = time.monotonic() + float(os.environ.get("PYSPEED_FUZZ_SECONDS", "0"))
    seed = random.randrange(1 << 60)
    while time.monotonic() < until:
        check(seed)
        seed += 1
