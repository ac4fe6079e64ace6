"""`json.accelerate` without a gateway. Equality with the frameworks themselves is in ``tests/accelerate``."""

from __future__ import annotations

import datetime
import enum
import functools
import json
import os
import subprocess
import sys
import textwrap
import threading
import types
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any, Callable, Iterator, List
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


class Code(bytes, enum.Enum):
    """Its value is a text; marshal takes its members for bytes, and orjson writes their values."""

    A = "a"

    def __new__(cls, value: str) -> Any:
        made = bytes.__new__(cls, value.encode())
        made._value_ = value
        return made


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


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(accelerate.__file__).resolve().parents[2])}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


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


OF_JSON = {
    "dumps": lambda patch: patch.setattr(json, "dumps", lambda *args, **kwargs: "own"),
    "JSONEncoder": lambda patch: patch.setattr(json, "JSONEncoder", type("Own", (json.JSONEncoder,), {})),
    "encode": lambda patch: patch.setattr(json.JSONEncoder, "encode", lambda self, o: "own"),
    "iterencode": lambda patch: patch.setattr(json.JSONEncoder, "iterencode", lambda self, o, _one_shot=False: ["own"]),
    "init": lambda patch: patch.setattr(json.JSONEncoder, "__init__", lambda self, **kwargs: None),
    "c_make_encoder": lambda patch: patch.setattr("json.encoder.c_make_encoder", None),
    "encode_basestring": lambda patch: patch.setattr("json.encoder.encode_basestring", lambda s: '"own"'),
    "encode_basestring_ascii": lambda patch: patch.setattr("json.encoder.encode_basestring_ascii", lambda s: '"own"'),
}


@pytest.mark.parametrize("name", OF_JSON)
def test_a_json_that_writes_otherwise(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert exact.writes(json)
    OF_JSON[name](monkeypatch)
    assert not exact.writes(json)


@pytest.mark.parametrize("name", ["encode", "iterencode", "__init__"])
def test_an_encoder_that_writes_otherwise(name: str) -> None:
    class Own(json.JSONEncoder):
        def default(self, o: Any) -> Any:
            return "own"

    assert exact.writes(json, Own)
    setattr(Own, name, lambda self, *args, **kwargs: None)
    assert not exact.writes(json, Own)


def test_a_json_that_reads_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    own = json.JSONDecoder(parse_float=str)
    has = vars(json._default_decoder)  # type: ignore[attr-defined]
    changes: List[Any] = [
        *((json, "loads", own.decode), (json, "_default_decoder", own)),
        *((json.JSONDecoder, "decode", own.decode), (json.JSONDecoder, "raw_decode", own.raw_decode)),
    ]
    for owner, name, new in changes:
        assert exact.reads(json)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, new)
            assert not exact.reads(json)
    for name in ("scan_once", "decode"):
        assert exact.reads(json)
        with monkeypatch.context() as patch:
            patch.setitem(has, name, getattr(own, name))
            assert not exact.reads(json)
    assert exact.reads(json)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("json.dumps = lambda *args, **kwargs: 'own'", "json.dumps"),
        ("json.JSONEncoder.iterencode = lambda *args, **kwargs: ['own']", "JSONEncoder.iterencode"),
        ("json.JSONEncoder = json.encoder.JSONEncoder = type('Own', (json.JSONEncoder,), {})", "Own.encode"),
        ("json.encoder.c_make_encoder = None", "parts of json"),
        ("json._default_decoder = json.JSONDecoder(parse_float=str)", "parts of json"),
        ("json._default_decoder = json.JSONDecoder(object_pairs_hook=list)", "parts of json"),
        ("json.JSONDecoder.decode = lambda self, s: 'own'", "JSONDecoder.decode"),
    ],
    ids=["dumps", "iterencode", "JSONEncoder", "c_make_encoder", "parse_float", "pairs", "decode"],
)
def test_a_json_that_was_replaced_before(orjson: exact.Orjson, change: str, told: str) -> None:
    script = """
        import json, json.decoder, json.encoder
        %s
        import orjson
        from pyspeed.accelerate import exact

        try:
            exact.Orjson(orjson)
        except exact.Unusable as error:
            print(error)
    """
    done = run_script(script % change)
    assert done.stdout == "the application has replaced %s, and that stays so\n" % told, done.stderr


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


def test_what_is_ours_is_known() -> None:
    """A wrapper that has copied the attributes of a function is not."""

    def old() -> None:
        pass

    def new() -> None:
        pass

    class Owner:
        method = old

    made = patches.Patches()
    made.replace(Owner, "method", new)
    assert made.there(Owner, "method") is new
    assert made.there(Owner, "other") is None

    class Derived(Owner):
        pass

    assert made.there(Derived, "method") is None
    Owner.method = functools.wraps(new)(lambda: None)
    assert made.there(Owner, "method") is None
    Owner.method = new
    made.undo()
    assert made.there(Owner, "method") is None


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
    # An import that has begun on another thread may ask it still.
    sys.meta_path.remove(changer)
    assert changer.find_spec("changed_one") is None


@pytest.mark.parametrize("imported", [True, False])
def test_without_a_gil(monkeypatch: pytest.MonkeyPatch, begun: None, imported: bool) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    monkeypatch.delitem(sys.modules, "orjson", raising=False)
    if imported:
        monkeypatch.setitem(sys.modules, "orjson", types.ModuleType("orjson"))
    accelerate.end()
    accelerate.begin()
    assert accelerate._load() is None
    assert ("orjson" in sys.modules) == imported
    told = accelerate.report()
    assert told["accelerated"] == told["accelerated_later"] == []
    assert len(told["not_accelerated"]) == 1 and "runs without the GIL" in told["not_accelerated"][0]


def test_begin_is_idempotent(begun: None) -> None:
    changer, finders = accelerate._changer, list(sys.meta_path)
    assert changer is not None and finders[0] is changer
    accelerate.begin()
    assert accelerate._changer is changer
    assert sys.meta_path == finders
    accelerate.end()
    assert sys.meta_path == finders[1:]


@pytest.mark.parametrize("has_it", [True, False])
def test_what_may_be_imported_yet(
    orjson: exact.Orjson, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_it: bool
) -> None:
    """Before 2.2 Flask has no providers: it is not said that they will be accelerated."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "flask"]:
        monkeypatch.delitem(sys.modules, name)
    folder = tmp_path / "flask" / "json"
    folder.mkdir(parents=True)
    (tmp_path / "flask" / "__init__.py").write_text("from . import json\n")
    (folder / "__init__.py").write_text("")
    if has_it:
        (folder / "provider.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    accelerate.begin()
    try:
        import flask

        assert flask.__file__ == str(tmp_path / "flask" / "__init__.py")
        accelerate._load()
        told = accelerate.report()["accelerated_later"]
        assert ("Flask's jsonify and get_json" in told) == has_it
        assert "flask.json.provider" not in sys.modules
    finally:
        accelerate.end()
        for name in ("flask", "flask.json"):
            sys.modules.pop(name, None)
