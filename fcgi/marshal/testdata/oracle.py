"""CPython's half of the differential test.

Called as ``oracle.py SEED COUNT``. Reads records from standard input until it
ends: a little-endian length of four bytes, a marshal value. For each it writes
what marshal.loads makes of it, as text, and a line end. Then it writes COUNT
values of its own, each on a line: the value as text, a space, and
marshal.dumps(value, 2) in hexadecimal digits.
"""

from __future__ import annotations

import marshal
import random
import struct
import sys
from typing import Any


def show(value: object) -> str:
    """Return a text that differs for values that differ in type or content."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return f"i{value}"
    if isinstance(value, str):
        return "u" + value.encode("utf-8", "surrogatepass").hex()
    if isinstance(value, bytes):
        return "s" + value.hex()
    if isinstance(value, tuple):
        return "(" + ",".join(map(show, value)) + ")"
    if isinstance(value, list):
        return "[" + ",".join(map(show, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(show(k) + ":" + show(v) for k, v in value.items()) + "}"
    raise TypeError(type(value))


def text(rng: random.Random) -> str:
    most = rng.choice([0x7F, 0x7F, 0xFF, 0xD7FF, 0x10FFFF])
    codes = (rng.randint(0, most) for _ in range(rng.choice([0, 1, 3, 20, 255, 256])))
    return "".join(chr(c) for c in codes if not 0xD800 <= c <= 0xDFFF)


def make(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(5 if depth == 0 else 8)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, -1, 200, 2**31 - 1, -(2**31), rng.randint(-(2**31), 2**31 - 1)])
    if kind in (2, 3):
        return text(rng)
    if kind == 4:
        return bytes(rng.randrange(256) for _ in range(rng.choice([0, 1, 30, 300])))
    count = rng.choice([0, 1, 2, 5])
    if kind == 5:
        return tuple(make(rng, depth - 1) for _ in range(count))
    if kind == 6:
        return [make(rng, depth - 1) for _ in range(count)]
    return {sys.intern(text(rng)): make(rng, depth - 1) for _ in range(count)}


def main() -> None:
    rng = random.Random(int(sys.argv[1]))
    lines = []
    while head := sys.stdin.buffer.read(4):
        (length,) = struct.unpack("<I", head)
        lines.append(show(marshal.loads(sys.stdin.buffer.read(length))))
    for _ in range(int(sys.argv[2])):
        value = make(rng, 4)
        lines.append(show(value) + " " + marshal.dumps(value, 2).hex())
    sys.stdout.write("\n".join(lines) + "\n")


main()
