"""What came in with the scope and receive(), and what goes out with send()."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[str, str]]


class Refused(Exception):
    """Raised by a handler that has sent nothing: the request is answered with an error."""

    def __init__(self, status: int, reason: str = "", headers: Headers = ()) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason or HTTPStatus(status).phrase
        self.headers = headers


class ClientLeft(OSError):
    """The client left before its request was here as a whole."""


class Request:
    """The scope, read, and the body as it arrives."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
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

    def header(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key == name), default)

    async def stream(self) -> AsyncIterator[bytes]:
        """The body, piece by piece."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft("the client left")
            yield message.get("body", b"")
            if not message.get("more_body"):
                return

    async def body(self) -> bytes:
        return b"".join([piece async for piece in self.stream()])

    async def json(self) -> Any:
        try:
            return json.loads(await self.body())
        except ValueError:
            raise Refused(400, "the body is no JSON") from None

    @property
    def cookies(self) -> dict[str, str]:
        # A client may send several fields (RFC 9113 §8.2.3 lets HTTP/2 split one).
        field = "; ".join(value for name, value in self.headers if name == "cookie")
        return {name: morsel.value for name, morsel in SimpleCookie(field).items()}


async def start(send: Send, status: int, content_type: str, headers: Headers = ()) -> None:
    """The answer's head; ``http.response.body`` messages are to follow."""
    fields = [("content-type", content_type), *headers]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields],
        }
    )


async def send_whole(send: Send, status: int, content_type: str, body: bytes, headers: Headers = ()) -> None:
    await start(send, status, content_type, [("content-length", str(len(body))), *headers])
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, value: Any, status: int = 200, headers: Headers = ()) -> None:
    await send_whole(send, status, "application/json", json.dumps(value).encode(), headers)


async def send_pieces(send: Send, pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})
