"""`json.accelerate` under FastAPI, whose answers are written without a copy if nobody can tell."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import sys
from typing import Any, Callable, Iterator, List

import pytest

from pyspeed import accelerate
from pyspeed.accelerate import exact
from pyspeed.accelerate.fastapi import _gives_only_to_the_class

pytest.importorskip("fastapi")
pytest.importorskip("orjson")
import fastapi.encoders
import fastapi.routing
from starlette.responses import JSONResponse, Response

WRITTEN = b'{"a":[1e-07,"\xc3\xa9"]}'
FASTER = WRITTEN.replace(b"07", b"7")


def ask(answer: Any, **options: Any) -> bytes:
    """What is sent if an endpoint returns ``answer``."""
    app = fastapi.FastAPI(openapi_url=None)
    body = b""

    async def endpoint():  # type: ignore[no-untyped-def]
        return answer

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        nonlocal body
        body += message.get("body", b"")

    app.get("/", **options)(endpoint)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "root_path": ""}
    asyncio.run(app(scope, receive, send))
    return body


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> List[bytes]:
    """Grows with each copy of a value that is made from its JSON."""
    made: List[bytes] = []
    copy = exact.Orjson.copy

    def counting(self: Any, data: bytes) -> Any:
        made.append(data)
        return copy(self, data)

    monkeypatch.setattr(exact.Orjson, "copy", counting)
    return made


@pytest.fixture
def begun() -> Iterator[None]:
    accelerate.begin()
    assert not accelerate.report()["not_accelerated"]
    yield
    accelerate.end()


def answer() -> Any:
    return {"a": [1e-7, "é"]}


def test_the_copy_is_left_out(copies: List[bytes]) -> None:
    """FastAPI's answer is written from what the endpoint returned; a response class of its own gets a copy."""

    class Own(JSONResponse):
        pass

    assert ask(answer()) == ask(answer(), response_class=Own) == WRITTEN
    accelerate.begin()
    try:
        assert ask(answer()) == FASTER
        assert copies == []
        assert ask(answer(), response_class=Own) == FASTER
        assert len(copies) == 1
    finally:
        accelerate.end()
    assert ask(answer()) == ask(answer(), response_class=Own) == WRITTEN
    assert len(copies) == 1


def own_render(self: Any, content: Any) -> bytes:
    return json.dumps({"own": content}, ensure_ascii=False, separators=(",", ":")).encode()


def own_init(self: Any, content: Any, *args: Any, **kwargs: Any) -> None:
    assert type(content) is dict
    content["own"] = True
    Response.__init__(self, content, *args, **kwargs)


def wrapped(owner: Any, name: str) -> Callable[..., Any]:
    """As what traces calls has it: all of the function's attributes are the wrapper's too."""
    function = vars(owner)[name]

    @functools.wraps(function)
    def wrapper(self: Any, content: Any = None, *args: Any, **kwargs: Any) -> Any:
        assert content is None or type(content) in (dict, list, bytes), "it sees what is not the content"
        return function(self, content, *args, **kwargs)

    return wrapper


REPLACED = {
    "render": (JSONResponse, "render", lambda: own_render, b'{"own":{"a":[1e-07,"\xc3\xa9"]}}'),
    "wrapped render": (JSONResponse, "render", lambda: wrapped(JSONResponse, "render"), WRITTEN),
    "init": (JSONResponse, "__init__", lambda: own_init, b'{"a":[1e-07,"\xc3\xa9"],"own":true}'),
    "wrapped init": (JSONResponse, "__init__", lambda: wrapped(JSONResponse, "__init__"), WRITTEN),
    "base init": (Response, "__init__", lambda: wrapped(Response, "__init__"), WRITTEN),
}


def same(found: bytes, expected: bytes) -> bool:
    return found.replace(b"1e-7", b"1e-07") == expected


@pytest.mark.parametrize("name", REPLACED)
def test_a_response_that_was_replaced_before(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    owner, attribute, make, expected = REPLACED[name]
    monkeypatch.setattr(owner, attribute, make())
    accelerate.begin()
    try:
        told = accelerate.report()
        assert "FastAPI's untyped answers" not in told["accelerated"]
        assert any("FastAPI's untyped answers: left as before" in problem for problem in told["not_accelerated"])
        assert same(ask(answer()), expected)
    finally:
        accelerate.end()


@pytest.mark.parametrize("name", REPLACED)
def test_a_response_that_is_replaced_between(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """After Starlette has been imported, and before FastAPI is."""
    owner, attribute, make, expected = REPLACED[name]
    routing = sys.modules.pop("fastapi.routing")
    accelerate.begin()
    sys.modules["fastapi.routing"] = routing
    try:
        monkeypatch.setattr(owner, attribute, make())
        with pytest.raises(accelerate.Unknown, match=r"JSONResponse\.|Response\.__init__"):
            accelerate._change(routing)
        assert same(ask(answer()), expected)
    finally:
        monkeypatch.undo()
        accelerate.end()


@pytest.mark.parametrize("name", REPLACED)
def test_a_response_that_is_replaced_later(monkeypatch: pytest.MonkeyPatch, begun: None, name: str) -> None:
    owner, attribute, make, expected = REPLACED[name]
    assert ask(answer()) == FASTER
    with monkeypatch.context() as patch:
        patch.setattr(owner, attribute, make())
        assert same(ask(answer()), expected)
    assert ask(answer()) == FASTER


# Handlers as fastapi.routing makes them, and such as do more with the content.
HANDLERS = {
    "response = actual_response_class(content, **args)": True,
    "with span():\n    pass\n  response = actual_response_class(content, **args)": True,
    "use_dump_json = field\n  if use_dump_json:\n    response = Response(content=content, **args)\n"
    "  else:\n    response = actual_response_class(content, **args)": True,
    "log(content)\n  response = actual_response_class(content, **args)": False,
    "content = envelope(content)\n  response = actual_response_class(content, **args)": False,
    "response = actual_response_class({'data': content}, n=len(content))": False,
    "if content is None:\n    response = Response(content=content)\n"
    "  else:\n    response = actual_response_class(content, **args)": False,
    "later(lambda: content)\n  response = actual_response_class(content, **args)": False,
    "other = 1\n  response = actual_response_class(other, **args)": False,
}


@pytest.mark.parametrize("handler", HANDLERS, ids=map(str, range(len(HANDLERS))))
def test_handlers(handler: str) -> None:
    source = "async def app(request, field=None):\n  args = {}\n  content = await serialize_response(field)\n  %s\n"
    made: Any = {}
    exec(source % handler, made)
    assert _gives_only_to_the_class(made["app"].__code__) == HANDLERS[handler]


@dataclasses.dataclass
class Card:
    name: str
    tags: Any


def test_another_jsonable_encoder_takes_part(monkeypatch: pytest.MonkeyPatch, begun: None) -> None:
    """The original calls itself by the name in its module: what is there gets each item of what is not plain."""
    fast = fastapi.encoders.jsonable_encoder

    def own(obj: Any, *args: Any, **kwargs: Any) -> Any:
        return obj.upper() if type(obj) is str else fast(obj, *args, **kwargs)

    value = {"a": ["b", Card("c", {"d"})]}
    assert json.loads(ask(value)) == {"a": ["b", {"name": "c", "tags": ["d"]}]}
    # FastAPI's own name for it is another, which still means the original.
    expected = {"A": ["B", {"NAME": "C", "TAGS": ["D"]}]}
    with monkeypatch.context() as patch:
        patch.setattr(fastapi.encoders, "jsonable_encoder", own)
        assert fastapi.encoders.jsonable_encoder(value) == fast(value) == json.loads(ask(value)) == expected
        assert json.loads(ask({"a": "b"})) == {"A": "B"}


def test_after_the_end(begun: None) -> None:
    """Whoever has imported the accelerated function meanwhile has the original's outcomes."""
    from fastapi.encoders import jsonable_encoder
    from fastapi.routing import serialize_response

    value = {"a": [Card("c", {1.5}), None]}
    expected = {"a": [{"name": "c", "tags": [1.5]}, None]}
    assert jsonable_encoder(value) == expected
    accelerate.end()
    assert fastapi.encoders.jsonable_encoder is not jsonable_encoder
    assert not [name for name in vars(fastapi.encoders) if "pyspeed" in name]
    assert jsonable_encoder(value) == fastapi.encoders.jsonable_encoder(value) == expected
    assert asyncio.run(serialize_response(response_content=value)) == expected
    assert ask(value) == b'{"a":[{"name":"c","tags":[1.5]},null]}'


def test_what_is_unsure_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And once more as what jsonable_encoder has made of it."""
    tried: List[Any] = []
    encoder = exact.Orjson.encoder

    def counting_encoder(self: Any, *args: Any, **kwargs: Any) -> Any:
        encode = encoder(self, *args, **kwargs)

        def counting(value: Any) -> Any:
            data = encode(value)
            tried.append(data)
            return data

        return counting

    monkeypatch.setattr(exact.Orjson, "encoder", counting_encoder)
    accelerate.begin()
    try:
        tried.clear()
        written = b'{"a":{"name":"c","tags":null}}'
        assert ask({"a": Card("c", None)}) == written
        assert tried == [exact.UNSURE, written]
    finally:
        accelerate.end()
