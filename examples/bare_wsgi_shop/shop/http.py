"""What came in with the environ, and what goes out to start_response."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import IO, Any
from urllib.parse import parse_qsl

Headers = list[tuple[str, str]]
# A WSGI status line, the header list, and the iterable of the body's chunks.
Answer = tuple[str, Headers, Iterable[bytes]]


class Refused(Exception):
    """Raised by a handler: the request is answered with an error."""

    def __init__(self, status: int, reason: str = "", headers: Headers | None = None) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason or HTTPStatus(status).phrase
        self.headers = headers or []


class Request:
    """The environ, read."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        # PEP 3333's strings hold bytes, as Latin-1; the path's bytes are UTF-8 here.
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        self.path: str = path.encode("latin-1").decode("utf-8", "replace")
        self.query: str = environ.get("QUERY_STRING", "")
        self.args: dict[str, str] = {}

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def number(self, name: str, default: int) -> int:
        """The query parameter ``name``; ``default`` where there is none, or no number."""
        try:
            return int(self.params[name])
        except (KeyError, ValueError):
            return default

    def header(self, name: str) -> str | None:
        value: str | None = self.environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value

    @property
    def content_type(self) -> str:
        kind: str = self.environ.get("CONTENT_TYPE", "")
        return kind

    @property
    def input(self) -> IO[bytes]:
        """The body, which ends where it ends: ``wsgi.input_terminated`` says so."""
        stream: IO[bytes] = self.environ["wsgi.input"]
        return stream

    def body(self) -> bytes:
        # PEP 3333 knows no read() without a size.
        return b"".join(iter(partial(self.input.read, 64 * 1024), b""))

    def json(self) -> Any:
        try:
            return json.loads(self.body())
        except ValueError:
            raise Refused(400, "the body is no JSON") from None

    @property
    def cookies(self) -> dict[str, str]:
        return {name: morsel.value for name, morsel in SimpleCookie(self.header("Cookie") or "").items()}


def answer(status: int, content_type: str, body: Iterable[bytes], headers: Iterable[tuple[str, str]] = ()) -> Answer:
    return f"{status} {HTTPStatus(status).phrase}", [("Content-Type", content_type), *headers], body


def json_answer(value: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    body = json.dumps(value).encode()
    return answer(status, "application/json", [body], [("Content-Length", str(len(body))), *headers])
