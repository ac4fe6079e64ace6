"""Applications that have made something different: it has to stay so.

Each is a surface as those of ``surfaces.py``, whose outcome would be another one without what is different.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import json.encoder
import sys
from collections.abc import Callable, Iterator
from typing import Any

import fastapi.encoders
import flask
import pydantic
from django.core.serializers.json import DjangoJSONEncoder
from django.http import JsonResponse
from fastapi.responses import JSONResponse
from flask.json.provider import DefaultJSONProvider
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder
from starlette.responses import Response
from surfaces import ADDRESS, FastAPIs, Flasks, attempt, holds, typed
from values import Item

MISSING = object()
NOW = datetime.datetime(2024, 1, 2, 3, 4, 5)


class Wrapping(DefaultJSONProvider):
    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps({"own": obj}, **kwargs)


class Reading(DefaultJSONProvider):
    def loads(self, s: Any, **kwargs: Any) -> Any:
        return super().loads(s, parse_float=str, **kwargs)


def flask_provider() -> Callable[[Any], str]:
    flasks = Flasks()
    flasks.app.json = Wrapping(flasks.app)
    return flasks.made


def flask_reader() -> Callable[[bytes], str]:
    flasks = Flasks()
    flasks.app.json = Reading(flasks.app)
    return flasks.body


def flask_method() -> Callable[[Any], str]:
    flasks = Flasks()
    dumps = flasks.app.json.dumps
    flasks.app.json.dumps = lambda obj, **kwargs: dumps({"own": obj}, **kwargs)
    return flasks.returned


def flask_default() -> Callable[[Any], str]:
    def default(obj: Any) -> Any:
        return "own " + type(obj).__name__

    return Flasks(default=default).made


def flask_response_class() -> Callable[[Any], str]:
    flasks = Flasks()

    class Own(flask.Response):
        def __init__(self, response: Any, **kwargs: Any) -> None:
            assert type(response) is str
            super().__init__(response, **kwargs)
            self.headers["Content-Type"] = "application/json; own=1"

    flasks.app.response_class = Own
    return flasks.made


def flask_mimetype() -> Callable[[Any], str]:
    flasks = Flasks(mimetype="application/json")
    flasks.app.debug = True
    flasks.exactly = True
    return flasks.made


def flask_order() -> Callable[[Any], str]:
    """The order of keys is another for each request."""
    flasks = Flasks()

    def run(value: Any) -> str:
        flasks.app.json.sort_keys = not flasks.app.json.sort_keys
        return flasks.made([value, {"b": 1, "a": 2}])

    return run


def flask_charset(value: Any) -> str:
    """A type that says that it is not UTF-8, and a class that writes something else (before Werkzeug 3)."""
    flasks = Flasks(mimetype="application/json; charset=latin-1")

    def make() -> str:
        answers = []
        for charset in ("utf-8", "utf-16-le"):
            with replaced(flask.Response, "charset", charset):
                flasks.app.json.mimetype = f"application/json; charset={'latin-1' if charset == 'utf-8' else charset}"
                flasks.value = value
                answer = flasks.app.test_client().get("/made")
                data = answer.data
                if answer.status_code != 200:
                    data = ADDRESS.sub("0x", answer.get_data(as_text=True)).encode()
                elif data[1:2] == b"\0":
                    data = data.decode("utf-16-le").encode()
                answers.append((answer.status_code, answer.content_type, holds(data) if data[:1] != b"<" else data))
        return repr(answers)

    return attempt(make)


class Own(JSONResponse):
    def render(self, content: Any) -> bytes:
        return super().render({"own": content})


class Media(JSONResponse):
    media_type = "application/problem+json"


def starlette_render(value: Any) -> str:
    return attempt(lambda: holds(Own(value).body))


def starlette_media(value: Any) -> str:
    def make() -> str:
        made = Media(value, status_code=418, headers={"x": "y"})
        head = dict(made.raw_headers)
        assert head.pop(b"content-length") == b"%d" % len(made.body)
        return repr((made.status_code, head)) + holds(made.body)

    return attempt(make)


@contextlib.contextmanager
def replaced(owner: Any, name: str, new: Any) -> Iterator[None]:
    old = vars(owner).get(name, MISSING)
    setattr(owner, name, new)
    try:
        yield
    finally:
        if old is MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, old)


def other_dumps(surface: Callable[[Any], str]) -> Callable[[Any], str]:
    """A surface of values under another json.dumps."""
    dumps = json.dumps

    def run(value: Any) -> str:
        with replaced(json, "dumps", lambda obj, **kwargs: dumps({"own": obj}, **kwargs)):
            return surface(value)

    return run


def other_loads(surface: Callable[[bytes], str]) -> Callable[[bytes], str]:
    """A surface of bodies under another json.loads."""
    loads = json.loads

    def run(body: bytes) -> str:
        with replaced(json, "loads", lambda s, **kwargs: loads(s, parse_int=float, **kwargs)):
            return surface(body)

    return run


def under(make: Callable[[], list[tuple[Any, str, Any]]], surface: Callable[[Any], str]) -> Callable[[Any], str]:
    """A surface while attributes of classes or modules, which ``make`` names, are replaced."""

    def run(value: Any) -> str:
        with contextlib.ExitStack() as stack:
            for owner, name, new in make():
                stack.enter_context(replaced(owner, name, new))
            return surface(value)

    return run


def own_render() -> list[tuple[Any, str, Any]]:
    def render(self: Any, content: Any) -> bytes:
        return json.dumps({"own": content}, ensure_ascii=False, separators=(",", ":")).encode()

    return [(JSONResponse, "render", render)]


def own_init() -> list[tuple[Any, str, Any]]:
    def init(self: Any, content: Any, *args: Any, **kwargs: Any) -> None:
        Response.__init__(self, {"own": content}, *args, **kwargs)

    return [(JSONResponse, "__init__", init)]


def own_base_init() -> list[tuple[Any, str, Any]]:
    init = Response.__init__

    def own(self: Any, content: Any = None, *args: Any, **kwargs: Any) -> None:
        init(self, {"own": content} if isinstance(self, JSONResponse) else content, *args, **kwargs)

    return [(Response, "__init__", own)]


def own_jsonable_encoder() -> list[tuple[Any, str, Any]]:
    encoder = fastapi.encoders.jsonable_encoder

    def own(obj: Any, *args: Any, **kwargs: Any) -> Any:
        return "own " + obj if type(obj) is str else encoder(obj, *args, **kwargs)

    return [(fastapi.encoders, "jsonable_encoder", own)]


def with_room(surface: Callable[[Any], str]) -> Callable[[Any], str]:
    """A surface with a stack for any value but one that holds itself: docs/accelerate.md says who needs more of it."""

    def run(value: Any) -> str:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(4 * before)
        try:
            return surface(value)
        finally:
            sys.setrecursionlimit(before)

    return run


def own_default(encoder: Any) -> Callable[[], list[tuple[Any, str, Any]]]:
    return lambda: [(encoder, "default", lambda self, o: "own")]


def own_encode(encoder: Any) -> Callable[[], list[tuple[Any, str, Any]]]:
    encode = encoder.encode
    return lambda: [(encoder, "encode", lambda self, o: encode(self, {"own": o}))]


def own_iterencode(encoder: Any) -> Callable[[], list[tuple[Any, str, Any]]]:
    iterencode = encoder.iterencode
    return lambda: [(encoder, "iterencode", lambda self, o, _one_shot=False: iterencode(self, {"own": o}))]


class Rounding(float):
    __repr__ = staticmethod(lambda number: format(number, ".1f"))  # type: ignore[assignment]


def own_floats() -> list[tuple[Any, str, Any]]:
    """As answers on the web say that floats are rounded."""
    return [(json.encoder, "c_make_encoder", None), (json.encoder, "float", Rounding)]


def own_texts() -> list[tuple[Any, str, Any]]:
    return [
        (json.encoder, name, lambda text: json.encoder.py_encode_basestring_ascii("own " + text))
        for name in ("encode_basestring", "encode_basestring_ascii")
    ]


def own_decoder() -> list[tuple[Any, str, Any]]:
    return [(json, "_default_decoder", json.JSONDecoder(parse_int=float))]


def fastapi_table() -> Callable[[Any], str]:
    """With an encoder of its own for datetime, as FastAPI's users are told to do it."""
    api = FastAPIs()
    untyped = api.of("/untyped")
    table = fastapi.encoders.ENCODERS_BY_TYPE

    def run(value: Any) -> str:
        before = table[datetime.datetime]
        table[datetime.datetime] = lambda moment: "own"
        try:
            answer = untyped([value, NOW])
            return answer + attempt(lambda: typed(fastapi.encoders.jsonable_encoder({"a": NOW, "b": value})))
        finally:
            table[datetime.datetime] = before

    return run


def fastapi_custom_encoder(value: Any) -> str:
    own = {datetime.datetime: lambda moment: "own", str: lambda text: "own " + text}
    try:
        return attempt(lambda: typed(fastapi.encoders.jsonable_encoder({"a": [value, NOW]}, custom_encoder=own)))
    finally:
        if pydantic.VERSION.startswith("1."):
            Item.__config__.json_encoders.clear()  # where old versions of FastAPI have put them, for good


def fastapi_excluded(value: Any) -> str:
    return attempt(
        lambda: typed(
            fastapi.encoders.jsonable_encoder({"a": value, "b": 1, "_sa": 2}, exclude={"b"}, sqlalchemy_safe=False)
        )
    )


class OwnDjango(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        return "own"


class Latin(JsonResponse):
    """What is not ASCII is escaped, so that any charset will do."""

    charset = "latin-1"


class Bytes(JsonResponse):
    def make_bytes(self, value: Any) -> bytes:
        return value.encode("ascii") if isinstance(value, str) else super().make_bytes(value)


class OwnRest(JSONEncoder):
    def default(self, obj: Any) -> Any:
        return "own"


class Loose(JSONRenderer):
    strict = False


class Encoding(JSONRenderer):
    encoder_class = OwnRest


class Ascii(JSONRenderer):
    ensure_ascii = True


def django_encoder(value: Any) -> str:
    return attempt(lambda: holds(JsonResponse([value, NOW], OwnDjango, False).content))


def django_charset(value: Any) -> str:
    return attempt(lambda: repr([holds(kind(value, safe=False).content) for kind in (Latin, Bytes)]))


def django_parameters(value: Any) -> str:
    return attempt(
        lambda: repr(JsonResponse({"a": value}, json_dumps_params={"indent": 1, "ensure_ascii": False}).content)
    )


def rest_encoder(value: Any) -> str:
    return attempt(lambda: holds(Encoding().render([value, NOW])))


def rest_loose(value: Any) -> str:
    return attempt(lambda: holds(Loose().render(value)))


def rest_ascii(value: Any) -> str:
    def make() -> str:
        made = Ascii().render(value)
        assert made.isascii(), made
        return holds(made)

    return attempt(make)


def surfaces(
    plain: dict[str, Callable[[Any], str]],
) -> tuple[dict[str, Callable[[Any], str]], dict[str, Callable[[bytes], str]]]:
    """Of values, and of bodies, by name. ``plain``: those of surfaces.py."""
    names = ("flask returned", "starlette", "fastapi /untyped", "django", "rest")
    values = {
        "flask provider": flask_provider(),
        "flask method": flask_method(),
        "flask default": flask_default(),
        "flask response class": flask_response_class(),
        "flask debug": flask_mimetype(),
        "starlette render": starlette_render,
        "starlette media": starlette_media,
        "fastapi table": fastapi_table(),
        "fastapi custom_encoder": fastapi_custom_encoder,
        "fastapi excluded": fastapi_excluded,
        "django encoder": django_encoder,
        "django parameters": django_parameters,
        "rest encoder": rest_encoder,
        "rest loose": rest_loose,
        "rest ascii": rest_ascii,
        "django charset": django_charset,
        "flask order": flask_order(),
        "flask charset": flask_charset,
        **{"json.dumps of its own, " + name: other_dumps(plain[name]) for name in names},
        **{
            f"{what} of its own, {name}": under(make, plain[name])
            for what, make in (
                ("floats", own_floats),
                ("texts", own_texts),
                ("encode", own_encode(json.JSONEncoder)),
                ("iterencode", own_iterencode(json.JSONEncoder)),
            )
            for name in names
        },
        **{
            f"{make.__name__}, {name}": under(make, plain[name])
            for make in (own_render, own_init, own_base_init)
            for name in ("starlette", "fastapi /untyped")
        },
        **{
            "jsonable_encoder of its own, " + name: with_room(under(own_jsonable_encoder, plain[name]))
            for name in ("jsonable_encoder", "fastapi /untyped", "fastapi /envelope")
        },
        **{
            f"{what} of its own, {name} encoder": under(make(encoder), plain[name])
            for name, encoder in (("django", DjangoJSONEncoder), ("rest", JSONEncoder))
            for what, make in (("default", own_default), ("encode", own_encode), ("iterencode", own_iterencode))
        },
    }
    bodies = ("flask body", "starlette body", "fastapi body")
    return values, {
        "flask reader": flask_reader(),
        **{"json.loads of its own, " + name: other_loads(plain[name]) for name in bodies},
        **{"a decoder of its own, " + name: under(own_decoder, plain[name]) for name in bodies},
    }
