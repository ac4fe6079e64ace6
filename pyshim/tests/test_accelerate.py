"""`json.accelerate` without a gateway: what is written, and what not.

Equality with the frameworks themselves is in ``tests/accelerate``.
"""

from __future__ import annotations

import datetime
import functools
import json
import threading
import types
from collections import OrderedDict
from typing import Any, List
from uuid import UUID

import pytest
from accelerate_rig import WHEN, Code, Color, Kind, Point, Text

from pyspeed.accelerate import exact


@pytest.mark.parametrize(
    "value",
    [
        *(
            float("nan"),
            [float("inf"), None],
            {"a": [None, -float("inf")]},
            [WHEN, float("nan")],
            {"é": 2**64},
            -(2**63) - 1,
        ),
        *(
            Text("a"),
            {Text("a"): 1},
            {1: 2},
            Color.RED,
            [Kind.A],
            {"a": [Code.A, 1]},
            Point(1, 2),
            b"",
            [object()],
            "\ud800",
            frozenset((1,)),
        ),
        *(
            [Color.RED, WHEN],
            {"a": datetime.datetime(2024, 1, 2)},
            {1, float("nan")},
            {1, 2**64},
            {Color.RED},
            (x for x in "a"),
            [1j],
            ...,
            [types],
            Exception("a"),
        ),
    ],
)
def test_unsure(encode: Any, value: Any) -> None:
    assert encode(value) is exact.UNSURE
    assert repr(exact.UNSURE) == "UNSURE"


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            True,
            1.5,
            -(2**63),
            2**64 - 1,
            'é\u2028\x7f\\"',
            (),
            [],
            {},
            {"b": 1, "a": (None, "null")},
            [0.1, None],
        ),
        OrderedDict(b=1, a=[OrderedDict()]),
    ],
)
def test_sure(encode: Any, value: Any) -> None:
    assert encode(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def test_what_the_caller_knows(encode: Any) -> None:
    assert encode([WHEN, UUID(int=1), {"a": {WHEN}}, None]) == (
        b'["2024-02-29","00000000-0000-0000-0000-000000000001",{"a":["2024-02-29"]},null]'
    )


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        *((ValueError, False), (TypeError, False), (OverflowError, False), (RecursionError, False)),
        *((KeyboardInterrupt, True), (TimeoutError, True), (type("Late", (Exception,), {}), True)),
    ],
)
def test_what_a_conversion_raises(orjson: exact.Orjson, error: Any, passes: bool) -> None:
    """What tells that it cannot convert is raised by the original code again; what comes from elsewhere goes on."""

    def convert(value: Any) -> Any:
        raise error("not now")

    encode = orjson.encoder({datetime.date: convert})
    if passes:
        with pytest.raises(error, match="not now"):
            encode([WHEN])
    else:
        assert encode([WHEN]) is exact.UNSURE


@pytest.mark.parametrize("made", [float("nan"), 2**64, object(), Text("a"), [1], Color.RED])
def test_what_a_conversion_makes(orjson: exact.Orjson, made: Any) -> None:
    assert orjson.encoder({datetime.date: lambda when: made})([WHEN, None]) is exact.UNSURE


def test_one_kind_of_answer_after_another(encode: Any) -> None:
    """What the last one had does not matter for what is written."""
    rows: Any = [{"number": 1, "tags": ["a"], "when": WHEN}] * 3
    row = b'{"number":1,"tags":["a"],"when":"2024-02-29"}'
    answers = [
        (rows, b"[" + b",".join([row] * 3) + b"]"),
        ({"count": 1, "rows": rows[:1]}, b'{"count":1,"rows":[' + row + b"]}"),
        ([1.5, None, {"a": ()}], b'[1.5,null,{"a":[]}]'),
        ([], b"[]"),
        ({}, b"{}"),
        ("a", b'"a"'),
        (WHEN, b'"2024-02-29"'),
        ([float("nan"), None], exact.UNSURE),
        ([WHEN, float("nan")], exact.UNSURE),
        ({1: 2}, exact.UNSURE),
        ([{1}, WHEN], b'[[1],"2024-02-29"]'),
        (OrderedDict(a=1), b'{"a":1}'),
    ]
    for first, _ in answers:
        for second, expected in answers:
            encode(first)
            assert encode(second) == expected, (first, second)


def test_what_rows_begin_with() -> None:
    begins = functools.partial(exact._begins_with, frozenset((datetime.date,)))
    assert all(map(begins, (WHEN, [WHEN], {"a": 1, "b": WHEN}, [{"a": [], "b": WHEN}], {"a": 1, "b": [{"c": WHEN}]})))
    assert not any(map(begins, (1, [], {}, [1, WHEN], [[[[[WHEN]]]]], {"a": [1], "b": [WHEN]}, {WHEN}, Text("a"))))


def test_sorted_keys(orjson: exact.Orjson) -> None:
    value = {"b": {"z": 1, "y": 2}, "a": 3, "é": 4, "😀": 5, "\uffff": 6}
    expected = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    assert orjson.encoder({}, sort_keys=True)(value) == expected


def test_a_value_that_holds_itself(encode: Any) -> None:
    value: List[Any] = [1]
    value.append(value)
    assert encode(value) is exact.UNSURE
    assert encode([WHEN, value]) is exact.UNSURE


@pytest.mark.parametrize("depth", [1, 100, 250])
def test_nested(orjson: exact.Orjson, encode: Any, depth: int) -> None:
    text = "[" * depth + "]" * depth
    assert encode(json.loads(text)) == text.encode()
    assert orjson.decode(text.encode()) == json.loads(text)
    assert orjson.decode(b"[" + b"[]," * 1000 + b"1]") == json.loads("[" + "[]," * 1000 + "1]")


def test_threads_share_an_encoder(encode: Any) -> None:
    wrong: List[Any] = []

    def run(number: int) -> None:
        for turn in range(300):
            value = {"number": number, "turn": turn, "when": WHEN if turn % 2 else None, "list": list(range(turn))}
            expected = json.dumps({**value, "when": "2024-02-29" if turn % 2 else None}, separators=(",", ":")).encode()
            if encode(value) != expected:
                wrong.append(value)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
