"""`json.accelerate`: what must be as it is known, of json, orjson and the frameworks; begin and end."""

from __future__ import annotations

import functools
import json
import sys
import types
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from accelerate_rig import run_script

from pyspeed import accelerate, imports
from pyspeed.accelerate import exact, patches


@pytest.fixture
def begun() -> Iterator[None]:
    accelerate.begin()
    yield
    accelerate.end()


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
