"""Random values that an application may answer with, and random bodies that a client may send.

All from one ``random.Random``: the same seed gives equal ones. Written for Python 3.9 and for whatever versions of the
frameworks there are.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import ipaddress
import json
import pathlib
import random
import uuid
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import markupsafe
import orjson
import pydantic
from django.utils.functional import lazy

Point = namedtuple("Point", "x y")


class Text(str):
    """A str that says something else when it is asked."""

    def __str__(self) -> str:
        return "other"


class Number(int):
    def __repr__(self) -> str:
        return "other"


class Real(float):
    def __repr__(self) -> str:
        return "other"


class Dict(dict):
    pass


class Odd(dict):
    """A dict that shows other items than it holds."""

    def items(self) -> Any:
        return [("shown", 1)]


class List(list):
    pass


class Tuple(tuple):
    pass


class Color(enum.Enum):
    RED = 1
    NAMED = "named"
    WHEN = datetime.date(2024, 2, 29)


class Kind(str, enum.Enum):
    A = "a"

    @property
    def value(self) -> str:
        return "other"


class Level(enum.IntEnum):
    LOW = 3


class Bits(enum.IntFlag):
    ONE = 1
    TWO = 2


class Shifted(int, enum.Enum):
    """Its content is not its value."""

    SHIFTED = 7

    def __new__(cls, value: int) -> Any:
        made = int.__new__(cls, value + 1)
        made._value_ = value
        return made


@dataclasses.dataclass
class Card:
    name: str
    when: Any = None
    inner: Any = None


class Item(pydantic.BaseModel):
    name: str
    price: float = 1.5
    when: datetime.datetime = datetime.datetime(2024, 1, 2)
    note: Any = None


class Html:
    def __html__(self) -> str:
        return "<b>"


class Pairs:
    """dict(pairs) works."""

    def keys(self) -> Any:
        return ["a", "b"]

    def __getitem__(self, key: str) -> int:
        return len(key)


class Opaque:
    __slots__ = ()


class Zone(datetime.tzinfo):
    """A time zone that is not the library's."""

    def utcoffset(self, when: Any) -> datetime.timedelta:
        return datetime.timedelta(hours=5, minutes=45)

    def dst(self, when: Any) -> None:
        return None

    def tzname(self, when: Any) -> str:
        return "ODD"


STRINGS = (
    *(
        "",
        "a",
        "null",
        "true",
        '"',
        "\\",
        "/",
        "\n\t\b\f\r",
        "\0\x1f",
        "\x7f\x80",
        "é",
        "\u2028\u2029",
        "日本",
        "😀",
        "\ufeff",
    ),
    *("_sa_instance_state", "_sa", "_", "<script>&'", "x" * 300, "\ud800", "a\udfffb", "NaN", "1e5", "\uffff"),
    *("550e8400-e29b-41d4-a716-446655440000", "2024-01-02T03:04:05Z", "%s", "\x1b[0m", "ÿ" * 40),
)
INTEGERS = (
    0,
    1,
    -1,
    255,
    2**31,
    -(2**31),
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63),
    -(2**63) - 1,
    2**64 - 1,
    2**64,
    10**40,
)
FLOATS = (
    *(
        0.0,
        -0.0,
        0.1,
        1.5,
        1e16,
        1e15,
        1e22,
        1e23,
        123456789012345680.0,
        5e-324,
        2.2250738585072011e-308,
        1.7976931348623157e308,
    ),
    *(1e-7, 0.0001, 0.00001, -2.5e-9, 9007199254740993.0, 3.0, 1 / 3, 2.0**70),
)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))
# With a point in time and a part of a second that formats cut.
UTC = datetime.timezone.utc
TIMES = (
    *(
        datetime.datetime(2024, 1, 2, 3, 4, 5),
        datetime.datetime(2024, 1, 2, 3, 4, 5, 678901),
        datetime.datetime(1, 1, 1),
    ),
    *(datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), datetime.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
    *(datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=-3, seconds=7))),),
    *(datetime.datetime(2024, 1, 2, 3, tzinfo=Zone()), datetime.datetime(2024, 10, 27, 2, 30, fold=1)),
    *(datetime.date(2024, 2, 29), datetime.date(9999, 12, 31), datetime.time(1, 2, 3, 450), datetime.time(23)),
    *(datetime.time(1, 2, tzinfo=UTC), datetime.timedelta(days=-1, microseconds=5), datetime.timedelta(weeks=60)),
)
DECIMALS = tuple(
    map(decimal.Decimal, ("1", "1.0", "12.50", "-0", "1E+30", "1E-10", "NaN", "Infinity", "sNaN", "0.1" * 1))
)

translated = lazy(lambda text: "translated " + text, str)


def _moved() -> Any:
    """An OrderedDict whose order is not that in which it was filled."""
    made = OrderedDict(a=1, b=2, c=None)
    made.move_to_end("a")
    return made


# What is rarely in an answer, each made anew, as some can be used once only.
RARE: tuple[Callable[[random.Random, Callable[[], Any]], Any], ...] = (
    lambda r, inner: r.choice(NOT_FINITE),
    lambda r, inner: r.choice(INTEGERS),
    lambda r, inner: r.choice(TIMES),
    lambda r, inner: r.choice(TIMES),
    lambda r, inner: r.choice(DECIMALS),
    lambda r, inner: uuid.UUID(int=r.getrandbits(128)),
    lambda r, inner: r.choice(
        (Color.RED, Color.NAMED, Color.WHEN, Kind.A, Level.LOW, Bits.ONE | Bits.TWO, Shifted.SHIFTED)
    ),
    lambda r, inner: Card(r.choice(STRINGS), r.choice(TIMES), inner()),
    lambda r, inner: Card,
    lambda r, inner: Item(name="item", note=r.choice((None, 1, float("nan")))),
    lambda r, inner: Point(inner(), 2),
    lambda r, inner: {1, 2},
    lambda r, inner: {inner_hashable(r)},
    lambda r, inner: frozenset((r.choice(TIMES),)),
    lambda r, inner: deque([1, r.choice(TIMES)]),
    lambda r, inner: (item for item in (1, "two")),
    lambda r, inner: map(str, (1, 2)),
    lambda r, inner: range(3),
    lambda r, inner: b"bytes",
    lambda r, inner: b"\xff",
    lambda r, inner: bytearray(b"x"),
    lambda r, inner: Text("text"),
    lambda r, inner: Number(5),
    lambda r, inner: Real(5.5),
    lambda r, inner: Dict(a=inner()),
    lambda r, inner: Odd(a=1),
    lambda r, inner: List([inner()]),
    lambda r, inner: Tuple((inner(),)),
    lambda r, inner: _moved(),
    lambda r, inner: OrderedDict(a=inner()),
    lambda r, inner: defaultdict(list, a=inner()),
    lambda r, inner: pathlib.PurePosixPath("/a/b"),
    lambda r, inner: ipaddress.ip_address("127.0.0.1"),
    lambda r, inner: markupsafe.Markup("<b>"),
    lambda r, inner: Html(),
    lambda r, inner: Pairs(),
    lambda r, inner: Opaque(),
    lambda r, inner: translated("text"),
    lambda r, inner: orjson.Fragment(b"{"),
    lambda r, inner: complex(1, 2),
    lambda r, inner: ...,
    lambda r, inner: ValueError("a"),
    lambda r, inner: int,
    lambda r, inner: {inner_hashable(r): inner()},
    lambda r, inner: {1: "a", "1": "b"},
    lambda r, inner: {Text("key"): 1, "key2": r.choice(STRINGS)},
    lambda r, inner: {Kind.A: 1},
    lambda r, inner: {"b": 1, "a": 2, "_sa_x": 3, "é": 4},
    lambda r, inner: _nested(r.choice((3, 60, 300)), inner()),
    lambda r, inner: _cycle(),
)


def inner_hashable(r: random.Random) -> Any:
    return r.choice(
        (
            None,
            True,
            1,
            1.5,
            float("nan"),
            "key",
            (1, 2),
            Color.RED,
            Level.LOW,
            r.choice(TIMES),
            b"key",
            uuid.UUID(int=1),
        )
    )


def _nested(depth: int, value: Any) -> Any:
    for number in range(depth):
        value = [value] if number % 2 else {"in": value}
    return value


def _cycle() -> Any:
    made: dict[str, Any] = {"a": [1]}
    made["a"].append(made)
    return made


def value(r: random.Random) -> Any:
    """One answer: mostly of what JSON has, now and then with something else in it."""
    rare = r.choice((0.0, 0.0, 0.02, 0.1, 0.5))
    times = r.random() < 0.3  # what comes from a database
    budget = r.choice((1, 5, 20, 60))

    def make(depth: int) -> Any:
        nonlocal budget
        budget -= 1
        if r.random() < rare:
            return r.choice(RARE)(r, lambda: make(depth + 1))
        kind = r.random()
        if depth < 6 and budget > 0 and kind < (0.9 if depth < 2 else 0.3):
            size = r.randrange(0, 6)
            if kind % 0.1 < 0.05:
                return {
                    r.choice(STRINGS[:20]) if r.random() < rare else f"key{r.randrange(40)}": make(depth + 1)
                    for _ in range(size)
                }
            made = [make(depth + 1) for _ in range(size)]
            return tuple(made) if r.random() < 0.2 else made
        if times and r.random() < 0.3:
            return r.choice((r.choice(TIMES[:9]), decimal.Decimal("12.50"), uuid.UUID(int=7)))
        return r.choice(
            (
                None,
                True,
                False,
                r.choice(STRINGS[:9]),
                r.choice(INTEGERS[:8]),
                r.choice(FLOATS),
                r.random() * 1e6,
                r.getrandbits(40),
            )
        )

    return make(0)


def corners() -> Iterator[Any]:
    """Each thing that is special, by itself among what is not."""
    r = random.Random(1)
    for special in (*STRINGS, *INTEGERS, *FLOATS, *NOT_FINITE, *TIMES, *DECIMALS):
        yield {"a": [special], "b": None}
    for make in RARE:
        yield {"a": make(r, lambda: "x"), "b": "null"}
        yield make(r, lambda: None)
    yield [TIMES[0], {"a": NOT_FINITE[0]}, None]
    for key in STRINGS:
        yield [{key: 1.5, "a": 1}]
    for special in (*STRINGS[:9], *INTEGERS[:3], 0.5, None, True):
        yield special


TEXTS = (
    *(
        "",
        " ",
        "null",
        "NaN",
        "-Infinity",
        "[Infinity]",
        "-0",
        "-0.0",
        "1E400",
        "-1e400",
        "1e-400",
        "1.7976931348623159e308",
    ),
    *(
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "1" * 5000,
        "[1" + "0" * 30 + "]",
    ),
    *(
        "0.1000000000000000055511151231257827021181583404541015625",
        "123456789012345678",
        "1234567890123456789.5",
        "01",
        "1.",
        ".5",
        "+1",
    ),
    *(
        '"\\ud800"',
        '"\\udc00x"',
        '"\\ud83d\\ude00"',
        '"\\u0000"',
        '"\t"',
        '"\x7f"',
        '"\\x"',
        '"\\/"',
        "'a'",
        '"\ud800"',
        '"unfinished',
    ),
    *(
        '{"a":1,"b":2,"a":3}',
        '{"a":1,}',
        "[1,]",
        "[1 2]",
        '{"a"}',
        "{1:2}",
        "/**/1",
        "1//",
        "\ufeff1",
        "\u00a01",
        "1\0",
        "[]]",
        "tru",
    ),
    *(
        "[" * 200 + "]" * 200,
        "[" * 300 + "]" * 300,
        "[" * 400,
        '{"a":' * 300 + "1" + "}" * 300,
        "[" + "[]," * 400 + "1]",
    ),
    *("[" * 5000 + "]" * 5000, "[" * 985 + "]" * 985),
)
ENCODINGS = (
    "utf-8",
    "utf-8",
    "utf-8",
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "utf-32-be",
    "latin-1",
)


def body(r: random.Random) -> bytes:
    """One body: mostly JSON, in several spellings, now and then damaged."""
    if r.random() < 0.3:
        text = r.choice(TEXTS)
    else:
        odd = r.choice((0.0, 0.0, 0.02, 0.3))
        text = json.dumps(
            _plain(r, 0, odd),
            ensure_ascii=r.random() < 0.5,
            indent=r.choice((None, None, 1)),
            separators=r.choice((None, (",", ":"))),
        )
        if r.random() < 0.2:
            text = text.replace("1", r.choice(("1e2", "1" * 19, "1.0", "-0", "NaN", "001")), 1)
    encoding = r.choice(ENCODINGS) if r.random() < 0.3 else "utf-8"
    data = text.encode(encoding, "replace" if encoding == "latin-1" or r.random() < 0.1 else "surrogatepass")
    if data and r.random() < 0.15:
        at = r.randrange(len(data))
        data = (
            data[:at]
            + r.choice((b"", b"\xff", b"\0", b'"', b"}", b"9", b"\xed\xa0\x80", b" "))
            + data[at + r.choice((0, 1)) :]
        )
    return data


def _plain(r: random.Random, depth: int, odd: float) -> Any:
    """What the module json can write; ``odd`` is how often it is what orjson may not read."""
    kind = r.random()
    if depth < 5 and kind < (0.9 if depth < 2 else 0.4):
        size = r.randrange(0, 5)
        if kind < 0.25:
            return {r.choice(STRINGS[:14]) + str(r.randrange(9)): _plain(r, depth + 1, odd) for _ in range(size)}
        return [_plain(r, depth + 1, odd) for _ in range(size)]
    if r.random() < odd:
        return r.choice((r.choice(STRINGS), r.choice(INTEGERS), r.choice(NOT_FINITE), {r.choice(STRINGS): 1}))
    return r.choice((None, True, False, r.choice(STRINGS[:14]), r.choice(INTEGERS[:7]), r.choice(FLOATS), r.random()))
