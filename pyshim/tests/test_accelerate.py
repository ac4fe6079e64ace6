"""`json.accelerate` without a gateway. Equality with the frameworks themselves is in ``tests/accelerate``."""

from __future__ import annotations

import asyncio
import datetime
import enum
import json
import sys
import threading
import types
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any, Iterator, List
from uuid import UUID

import pytest

from pyspeed import accelerate, imports
from pyspeed.accelerate import exact, patches

WHEN = datetime.date(2024, 2, 29)


class Text(str):
    pass


class Color(enum.Enum):
    RED = 1


class Kind(str, enum.Enum):
    A = "a"


Point = namedtuple("Point", "x y")


@pytest.fixture(scope="module")
def orjson() -> exact.Orjson:
    return exact.Orjson(pytest.importorskip("orjson"))


@pytest.fixture
def encode(orjson: exact.Orjson) -> Any:
    return orjson.encoder({datetime.date: datetime.date.isoformat}, (UUID,), (set,))


@pytest.fixture
def begun() -> Iterator[None]:
    accelerate.begin()
    yield
    accelerate.end()


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
            Point(1, 2),
            b"",
            [object()],
            "\ud800",
            frozenset((1,)),
        ),
        *(
            [Color.RED, WHEN],
            {"a": datetime.datetime(2024, 1, 2)},
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


def test_an_orjson_that_behaves_otherwise(orjson: exact.Orjson) -> None:
    """It is tried before it is used."""
    module = sys.modules["orjson"]

    def other(**differences: Any) -> types.SimpleNamespace:
        return types.SimpleNamespace(**{**vars(module), "__version__": "9.9", **differences})

    exact.Orjson(other())
    with pytest.raises(exact.Unusable, match=r"orjson 9\.9 behaves otherwise"):
        exact.Orjson(other(loads=json.loads))
    with pytest.raises(exact.Unusable, match="behaves otherwise"):
        exact.Orjson(other(dumps=lambda value, default, option: json.dumps(value).encode()))
    old = other()
    del old.OPT_PASSTHROUGH_DATETIME
    with pytest.raises(exact.Unusable, match="too old"):
        exact.Orjson(old)


def test_functions_that_are_not_as_expected() -> None:
    module = types.ModuleType("framework")

    def as_known(value: Any) -> str:
        return json.dumps(value, indent=3)

    module.write = as_known  # type: ignore[attr-defined]
    assert patches.known(module, "write", "json dumps", constants=(3,)) is as_known
    assert patches.known(module, "write", "json", "dumps loads") is as_known
    for needs, may, constants in (("json", "", ()), ("json dumps loads", "", ()), ("json dumps", "", (4,))):
        with pytest.raises(patches.Unknown, match=r"framework\.write does something else"):
            patches.known(module, "write", needs, may, constants)
    module.write = staticmethod(as_known)  # type: ignore[attr-defined]
    for name in ("write", "missing"):
        with pytest.raises(patches.Unknown, match="somebody has replaced it"):
            patches.known(module, name, "json dumps")


def test_only_what_is_ours_is_undone() -> None:
    class Owner:
        first, second = 1, 2

    made = patches.Patches()
    made.replace(Owner, "first", 10)
    made.replace(Owner, "second", 20)
    made.replace(Owner, "third", 30)
    Owner.second = 200  # by somebody else, since
    made.undo()
    assert (Owner.first, Owner.second, hasattr(Owner, "third")) == (1, 200, False)


def test_modules_are_changed_when_they_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("changed_one", "changed_two", "left_alone"):
        (tmp_path / (name + ".py")).write_text("value = 1\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    failures = []

    def fail(module: Any) -> None:
        raise ValueError("not this one")

    changer = imports.Changer(
        {"changed_one": lambda module: setattr(module, "value", 2), "changed_two": fail},
        lambda module, error: failures.append((module.__name__, str(error))),
    )
    monkeypatch.setattr(sys, "meta_path", [changer, *sys.meta_path])
    import changed_one
    import changed_two
    import left_alone

    assert (changed_one.value, changed_two.value, left_alone.value) == (2, 1, 1)
    assert failures == [("changed_two", "not this one")]
    assert type(changed_one.__loader__) is type(left_alone.__loader__)
    assert changed_one.__spec__.loader is changed_one.__loader__
    for name in ("changed_one", "changed_two", "left_alone"):
        del sys.modules[name]


def test_without_a_gil(monkeypatch: pytest.MonkeyPatch, begun: None) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    monkeypatch.delitem(sys.modules, "orjson", raising=False)
    accelerate.end()
    accelerate.begin()
    assert accelerate._load() is None
    assert "orjson" not in sys.modules
    told = accelerate.report()
    assert told["accelerated"] == told["accelerated_later"] == []
    assert len(told["not_accelerated"]) == 1 and "runs without the GIL" in told["not_accelerated"][0]


def test_begin_is_idempotent(begun: None) -> None:
    accelerate.begin()
    assert sum(isinstance(finder, imports.Changer) and finder is accelerate._changer for finder in sys.meta_path) == 1


def test_the_copy_is_left_out(orjson: exact.Orjson, monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI's answer is written from what the endpoint returned; a response class of its own gets a copy."""
    fastapi = pytest.importorskip("fastapi")
    from fastapi.responses import JSONResponse

    copies: List[bytes] = []
    copy = exact.Orjson.copy

    def counting(self: Any, data: bytes) -> Any:
        copies.append(data)
        return copy(self, data)

    class Own(JSONResponse):
        pass

    monkeypatch.setattr(exact.Orjson, "copy", counting)
    answer = {"a": [1e-7, WHEN]}
    app = fastapi.FastAPI()

    @app.get("/plain")
    async def plain():  # type: ignore[no-untyped-def]
        return answer

    app.get("/own", response_class=Own)(plain)

    def ask(path: str) -> bytes:
        body = b""

        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            nonlocal body
            body += message.get("body", b"")

        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": ""}
        asyncio.run(app(scope, receive, send))
        return body

    expected = b'{"a":[1e-07,"2024-02-29"]}'
    assert ask("/plain") == ask("/own") == expected
    accelerate.begin()
    try:
        assert ask("/plain") == expected.replace(b"07", b"7")
        assert copies == []
        assert ask("/own") == expected.replace(b"07", b"7")
        assert len(copies) == 1
    finally:
        accelerate.end()
    assert ask("/plain") == ask("/own") == expected
    assert len(copies) == 1
