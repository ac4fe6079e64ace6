"""Fuzzing of the FastCGI codec: whatever the bytes, and however they are cut, the same records or the same error.

A test run tries a fixed number of inputs; ``PYSPEED_FUZZ_SECONDS`` (as ``make fuzz`` sets it) goes on for so long.
The seed is in the failure's message.
"""

from __future__ import annotations

import os
import random
import struct
import time
from typing import Any, List, Tuple, Union

from pyspeed import records

Record = Tuple[int, int, int, Any]
Outcome = Tuple[List[Record], Union[str, bool]]

KINDS = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 64, 65, 66, 68, 99, 255)


def a_stream(rng: random.Random) -> bytes:
    """Records, most of them right, some cut, spoilt or foreign."""
    out = bytearray()
    for _ in range(rng.randrange(1, 12)):
        length = rng.choice((0, 1, 7, 8, 127, 128, 300, rng.randrange(2000)))
        padding = rng.choice((0, 0, 1, 255))
        out += struct.pack("!BBHHBB", 1, rng.choice(KINDS), rng.randrange(65536), length, padding, rng.randrange(256))
        out += rng.randbytes(length + padding) if hasattr(rng, "randbytes") else os.urandom(length + padding)
    for _ in range(rng.choice((0, 0, 1, 3))):
        out[rng.randrange(len(out))] = rng.randrange(256)
    if rng.random() < 0.3:
        del out[rng.randrange(len(out)) :]
    return bytes(out)


def parse(parts: List[bytes]) -> Outcome:
    """The records, and what ended them: an error's text, or whether a part of one is left."""
    parser = records.Parser()
    found: List[Record] = []
    for part in parts:
        try:
            for record in parser.feed(part):
                found.append(record)
        except records.ProtocolError as error:
            return found, str(error)
    return found, bool(parser.partial)


def cut(data: bytes, rng: random.Random) -> List[bytes]:
    marks = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(8)))
    return [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)])]


def check(seed: int) -> None:
    rng = random.Random(seed)
    data = a_stream(rng)
    whole = parse([data])
    for parts in (cut(data, rng), [data[i : i + 1] for i in range(len(data))]):
        assert parse(parts) == whole, "seed %d" % seed
    again = b"".join(records.record(kind, number, content, flags) for kind, number, flags, content in whole[0])
    assert parse([again]) == (whole[0], False), "seed %d" % seed
    for _, _, _, content in whole[0]:
        try:
            pairs = records.parse_pairs(content)
        except records.ProtocolError:
            continue
        assert records.parse_pairs(records.pack_pairs(pairs)) == pairs, "seed %d" % seed


def test_fuzz_records() -> None:
    for seed in range(400):
        check(seed)
    until = time.monotonic() + float(os.environ.get("PYSPEED_FUZZ_SECONDS", "0"))
    seed = random.randrange(1 << 60)
    while time.monotonic() < until:
        check(seed)
        seed += 1
