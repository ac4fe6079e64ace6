"""What is accelerated, each as a function of a value or a body whose outcome can be compared.

An outcome is a repr: of the status and what the answer's JSON holds, of what a body was read as, or of what was raised.
"""

from __future__ import annotations

import asyncio
import json
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import django
import fastapi
import fastapi.encoders
import flask
from django.http import JsonResponse
from fastapi.responses import JSONResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.serializer_helpers import ReturnDict, ReturnList
from starlette.requests import Request

# The frameworks' own, of older versions.
warnings.simplefilter("ignore")

LOADS = json.loads
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def raised(error: BaseException) -> str:
    # How deep the stack was when it was full is not told.
    text = "" if isinstance(error, RecursionError) else ADDRESS.sub("0x", str(error))
    position = [error.pos, error.doc] if isinstance(error, json.JSONDecodeError) else []
    return repr(("raised", type(error).__module__, type(error).__qualname__, text, position))


def holds(data: bytes) -> str:
    """What JSON holds: the order of keys and repeated ones too, and what kind of number each is."""
    text = data.decode("utf-8")
    return repr(
        LOADS(text, object_pairs_hook=lambda pairs: ("object", pairs), parse_int=lambda digits: "int " + digits)
    )


def typed(value: Any) -> str:
    """A value with the types of all that is in it."""
    if isinstance(value, dict):
        return type(value).__name__ + "".join(f"{{{typed(key)}:{typed(of)}}}" for key, of in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"{type(value).__name__}[{','.join(map(typed, value))}]"
    return f"{type(value).__qualname__} {ADDRESS.sub('0x', repr(value))}"


class Flasks:
    def __init__(self, **options: Any) -> None:
        self.app = flask.Flask("differential")
        for name, option in options.items():
            setattr(self.app.json, name, option)
        self.app.add_url_rule("/returned", "returned", view_func=lambda: self.value)
        self.app.add_url_rule("/made", "made", view_func=lambda: flask.jsonify(self.value))
        self.app.add_url_rule("/read", "read", view_func=self._read, methods=["POST"])
        self.app.testing = True
        self.exactly = options.get("compact") is False  # it is indented, and is to stay so
        self.value: Any = None
        self.read: Any = None

    def _read(self) -> str:
        self.read = flask.request.get_json(force=True)
        return "read"

    def returned(self, value: Any) -> str:
        return attempt(lambda: self._answer("/returned", value))

    def made(self, value: Any) -> str:
        return attempt(lambda: self._answer("/made", value))

    def _answer(self, path: str, value: Any) -> str:
        self.value = value
        answer = self.app.test_client().get(path)
        if answer.mimetype != "application/json":
            return repr((answer.status_code, answer.mimetype, ADDRESS.sub("0x", answer.get_data(as_text=True))))
        assert answer.content_length == len(answer.data) and answer.data.endswith(b"\n")
        held = repr(answer.data) if self.exactly else holds(answer.data)
        return repr((answer.status_code, answer.content_type, held))

    def body(self, body: bytes) -> str:
        def send() -> str:
            answer = self.app.test_client().post("/read", data=body, content_type="application/json")
            return repr((answer.status_code, typed(self.read), answer.get_data(as_text=True)))

        self.read = None
        return attempt(send)


class Envelope(JSONResponse):
    """Changes what it was given, as it is a copy."""

    def __init__(self, content: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(content, dict):
            content["changed"] = True
        elif isinstance(content, list):
            content.append("changed")
        super().__init__(content, *args, **kwargs)


class FastAPIs:
    def __init__(self) -> None:
        self.app = fastapi.FastAPI(openapi_url=None)
        self.value: Any = None
        self.loop = asyncio.new_event_loop()

        async def untyped():
            return self.value

        def in_thread():
            return self.value

        async def anything() -> Any:
            return self.value

        async def read(body: Any = fastapi.Body(None)):  # noqa: B008
            return fastapi.Response(typed(body).encode("utf-8", "backslashreplace"))

        self.app.get("/untyped")(untyped)
        self.app.get("/thread")(in_thread)
        self.app.get("/envelope", response_class=Envelope)(untyped)
        self.app.get("/no-content", status_code=204)(untyped)
        self.app.get("/anything")(anything)
        self.app.post("/read")(read)

    def of(self, path: str) -> Callable[[Any], str]:
        def answer(value: Any) -> str:
            self.value = value
            before = None
            if path == "/envelope":
                try:
                    before = json.dumps(value)
                except (TypeError, ValueError, RecursionError):
                    pass
            outcome = self._ask("GET", path, b"")
            if before is not None:
                assert json.dumps(value) == before, "the application's own value was changed"
            return outcome

        return answer

    def body(self, body: bytes) -> str:
        return self._ask("POST", "/read", body)

    def _ask(self, method: str, path: str, body: bytes) -> str:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": None,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))], "server": None,
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        try:
            self.loop.run_until_complete(self.app(scope, receive, send))
        except Exception as error:
            return raised(error)
        head = dict(sent[0]["headers"])
        content = b"".join(message.get("body", b"") for message in sent[1:])
        assert int(head.get(b"content-length", len(content))) == len(content) or sent[0]["status"] == 204
        if head.get(b"content-type") != b"application/json" or not content:
            return repr((sent[0]["status"], sorted(name for name in head if name != b"content-length"), content))
        return repr((sent[0]["status"], head[b"content-type"], holds(content)))


def attempt(function: Callable[[], str]) -> str:
    try:
        return function()
    except Exception as error:
        return raised(error)


def starlette(value: Any) -> str:
    return attempt(lambda: holds(JSONResponse(value).body))


def starlette_body(body: bytes) -> str:
    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def read() -> Any:
        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        first = await request.json()
        assert await request.json() is first
        return first

    def run() -> str:
        loop = asyncio.new_event_loop()
        try:
            return typed(loop.run_until_complete(read()))
        finally:
            loop.close()

    return attempt(run)


def jsonable(value: Any) -> str:
    return attempt(lambda: typed(fastapi.encoders.jsonable_encoder(value)))


def jsonable_without_none(value: Any) -> str:
    return attempt(lambda: typed(fastapi.encoders.jsonable_encoder(value, exclude_none=True, by_alias=False)))


def django_response(value: Any) -> str:
    def make() -> str:
        answer = JsonResponse(value, safe=False)
        return answer["Content-Type"] + holds(answer.content)

    return attempt(make)


def django_safe(value: Any) -> str:
    return attempt(lambda: holds(JsonResponse(value, status=201).content))


def django_latin(value: Any) -> str:
    def make() -> str:
        answer = JsonResponse(value, safe=False, content_type="application/json; charset=latin-1")
        return holds(answer.content)

    return attempt(make)


def rest(value: Any) -> str:
    return attempt(lambda: holds(JSONRenderer().render(value)))


def rest_serialized(value: Any) -> str:
    """As a serializer's data, and as a page of it."""

    def make() -> str:
        if isinstance(value, dict):
            data: Any = ReturnDict(value, serializer=None)
        else:
            data = {"count": 1, "next": None, "results": ReturnList([value], serializer=None)}
        made = JSONRenderer().render(data, "application/json", {})
        assert b"\xe2\x80\xa8" not in made and b"\xe2\x80\xa9" not in made, "it is not JavaScript"
        return holds(made)

    return attempt(make)


def rest_page(value: Any) -> str:
    """A page as REST framework before 3.15 makes it, and in it rows that are in order too."""

    def make() -> str:
        rows = ReturnList([OrderedDict(b=value, a=1)], serializer=None)
        return holds(JSONRenderer().render(OrderedDict(count=1, next=None, results=rows)))

    return attempt(make)


def rest_indented(value: Any) -> str:
    return attempt(lambda: JSONRenderer().render(value, "application/json; indent=2").decode())


def surfaces() -> tuple[dict[str, Callable[[Any], str]], dict[str, Callable[[bytes], str]]]:
    """Of values, and of bodies, by name."""
    django.setup()
    plain, other, api = Flasks(), Flasks(sort_keys=False, ensure_ascii=False), FastAPIs()
    indented = Flasks(compact=False)
    values: dict[str, Callable[[Any], str]] = {
        "flask returned": plain.returned,
        "flask jsonify": plain.made,
        "flask unsorted": other.made,
        "flask indented": indented.made,
        "starlette": starlette,
        "jsonable_encoder": jsonable,
        "jsonable_encoder exclude_none": jsonable_without_none,
        **{
            "fastapi " + path: api.of(path) for path in ("/untyped", "/thread", "/envelope", "/no-content", "/anything")
        },
        "django": django_response,
        "django safe": django_safe,
        "django latin-1": django_latin,
        "rest": rest,
        "rest serialized": rest_serialized,
        "rest page": rest_page,
        "rest indented": rest_indented,
    }
    bodies: dict[str, Callable[[bytes], str]] = {
        "flask body": plain.body,
        "starlette body": starlette_body,
        "fastapi body": api.body,
    }
    return values, bodies
