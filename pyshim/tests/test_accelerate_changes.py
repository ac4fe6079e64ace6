"""`json.accelerate`: values that another thread changes while they are written, and what may run meanwhile."""

from __future__ import annotations

import enum
import functools
import sys
from typing import Any, Callable, List

import pytest
from accelerate_rig import WHEN, Code, Color, Text, run_script

from pyspeed.accelerate import exact

# Each changes the value while it is written, as another thread can; all have crashed a worker, or repeated keys.
CHANGES = {
    "list": """
        value = [{"number": number, "when": WHEN} for number in range(200)]
        before = expected(value)

        def change():
            del value[1:]
            value.extend([None] * 50)
        """,
    "dict": """
        value = {"key%d" % number: [number, WHEN] for number in range(200)}
        before = expected(value)

        def change():
            for number in range(0, 200, 2):
                del value["key%d" % number]
            value.update(("more%d" % number, number) for number in range(300))
        """,
    "nested": """
        value = [[WHEN], {"rows": [{"when": WHEN, "number": number} for number in range(200)]}]
        before = '[["made"],{"rows":[]}]'

        def change():
            value[1]["rows"].clear()
        """,
    "ordered": """
        value = OrderedDict((str(number), WHEN) for number in range(200))
        before = expected(value)

        def change():
            value.clear()
        """,
    "set": """
        value = [WHEN, {WHEN}, set(range(200))]
        before = '["made",["made"],[]]'

        def change():
            value[2].clear()
        """,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_value_that_is_changed_meanwhile(orjson: exact.Orjson, name: str) -> None:
    """By what runs in a conversion; in a process of its own, which may crash."""
    script = """
        import datetime, gc, json
        from collections import OrderedDict
        import orjson
        from pyspeed.accelerate import exact

        WHEN = datetime.date(2024, 2, 29)

        def expected(value):
            return json.dumps(value, default=lambda when: "made", separators=(",", ":"))
        %s
        changed = []

        def convert(when):
            if not changed:
                changed.append(True)
                change()
                gc.collect()
                [bytearray(number) for number in range(2000)]
            return "made"

        data = exact.Orjson(orjson).encoder({datetime.date: convert}, lists=(set,))(value)
        assert changed and data == before.encode(), (data, before)
    """
    done = run_script(script % CHANGES[name])
    assert done.returncode == 0, done.stderr[-3000:]


class Told(enum.Enum):
    A = 1

    @property
    def value(self) -> Any:  # type: ignore[override]
        raise AssertionError("orjson has run Python")


@pytest.mark.parametrize("value", [[Told.A], {"a": {"b": Told.A}}, [WHEN, Told.A]])
def test_an_enum_is_not_asked(encode: Any, value: Any) -> None:
    assert encode(value) is exact.UNSURE


def traced(encode: Any, value: Any, at: int, change: Callable[[], None]) -> Any:
    """What is written of a value if ``change`` is called before that instruction; and whether it was."""
    left, called = at, False

    def local(frame: Any, event: str, argument: Any) -> Any:
        nonlocal left, called
        if event == "opcode":
            if left == 0:
                called = True
                change()
            left -= 1
        return local

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != exact.__file__:
            return None
        frame.f_trace_opcodes = True
        return local

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        outcome = encode(value)
    finally:
        sys.settrace(before)
    return outcome, called


def outcomes_of_changes(encode: Any, make: Callable[[], Any], change: Callable[[Any], None]) -> List[Any]:
    """What is written of a value that is changed once, before each instruction at which another thread may run."""
    # From Python 3.12 on a function has events of its instructions after it has been traced once.
    traced(encode, make(), -1, lambda: None)
    outcomes: List[Any] = []
    called = True
    while called:
        value = make()
        outcome, called = traced(encode, value, len(outcomes), functools.partial(change, value))
        outcomes.append(outcome)
    return outcomes


@pytest.mark.parametrize("special", [float("nan"), Color.RED, Code.A, WHEN, Text("a"), 2**64])
def test_a_value_that_is_changed_at_any_instruction(encode: Any, special: Any) -> None:
    """What is written has been looked at: no thread can come between."""

    def change(value: Any) -> None:
        value["a"][0] = special

    outcomes = outcomes_of_changes(encode, lambda: {"a": [1.5, None]}, change)
    assert len(outcomes) > 10
    dated = b'{"a":["2024-02-29",null]}'
    assert {b'{"a":[1.5,null]}', dated if special is WHEN else exact.UNSURE} == set(outcomes)


@pytest.mark.parametrize("special", [float("nan"), Color.RED, Code.A, Text("a"), 2**64])
def test_a_value_with_more_that_is_changed_at_any_instruction(encode: Any, special: Any) -> None:
    def change(value: Any) -> None:
        value["a"][1] = special

    outcomes = outcomes_of_changes(encode, lambda: {"when": WHEN, "a": [None, 1.5]}, change)
    assert len(outcomes) > 50
    assert set(outcomes) == {b'{"when":"2024-02-29","a":[null,1.5]}', exact.UNSURE}
