"""Raises at every point where an application can, and yields what is not bytes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

from keeper import PLAIN, PLAIN_BYTES, Receive, Send, StartResponse, asgi_app, wait_for_gate, wsgi_app

Environ = dict[str, Any]


class Closing:
    """PEP 3333: the server calls close() when it is done, also after an error."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        raise RuntimeError("the close() of the zoo")


def at_once(_environ: Environ, _start_response: StartResponse) -> list[bytes]:
    raise RuntimeError("at once")


def after_start(_environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", PLAIN)
    raise RuntimeError("after the start")


def before_first(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", PLAIN)
    raise RuntimeError("before the first chunk")
    yield b""


def after_first(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", PLAIN)
    yield b"first\n"
    wait_for_gate()
    raise RuntimeError("after the first chunk")


def in_close(_environ: Environ, start_response: StartResponse) -> Closing:
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    return Closing(b"done")


def never_starts(_environ: Environ, _start_response: StartResponse) -> list[bytes]:
    return [b"no head"]


def starts_twice(_environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", PLAIN)
    start_response("201 Created", PLAIN)
    return [b"twice"]


def with_exc_info(_environ: Environ, start_response: StartResponse) -> list[bytes]:
    """PEP 3333: an error handler may replace a head that was not sent yet."""
    start_response("200 OK", PLAIN)
    try:
        raise ValueError("replaced")
    except ValueError:
        start_response("503 Service Unavailable", PLAIN, sys.exc_info())
    return [b"replaced"]


def system_exit(_environ: Environ, _start_response: StartResponse) -> list[bytes]:
    raise SystemExit("an exit in a request")


def yields(value: Any) -> Any:
    def handler(_environ: Environ, start_response: StartResponse) -> list[Any]:
        start_response("200 OK", PLAIN)
        return [value]

    return handler


def returns(value: Any) -> Any:
    def handler(_environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", PLAIN)
        return value

    return handler


wsgi = wsgi_app(
    {
        "/at-once": at_once,
        "/after-start": after_start,
        "/before-first": before_first,
        "/after-first": after_first,
        "/in-close": in_close,
        "/never-starts": never_starts,
        "/starts-twice": starts_twice,
        "/exc-info": with_exc_info,
        "/system-exit": system_exit,
        "/yields-str": yields("text"),
        "/yields-int": yields(42),
        "/yields-none": yields(None),
        "/returns-none": returns(None),
        "/returns-int": returns(42),
    }
)

START = {"type": "http.response.start", "status": 200, "headers": PLAIN_BYTES}
Scope = dict[str, Any]


async def a_at_once(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("at once")


async def a_after_start(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(START)
    raise RuntimeError("after the start")


async def a_after_first(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
    await asyncio.get_running_loop().run_in_executor(None, wait_for_gate)
    raise RuntimeError("after the first chunk")


async def a_after_all(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({**START, "headers": [*PLAIN_BYTES, (b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"done"})
    raise RuntimeError("the close() of the zoo")


async def a_never_starts(_scope: Scope, _receive: Receive, _send: Send) -> None:
    return


async def a_never_ends(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": b"first\n", "more_body": True})


async def a_starts_twice(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(START)
    await send(START)


async def a_system_exit(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise SystemExit("an exit in a request")


def a_sends(*messages: Any) -> Any:
    async def handler(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return handler


asgi = asgi_app(
    {
        "/at-once": a_at_once,
        "/after-start": a_after_start,
        "/after-first": a_after_first,
        "/in-close": a_after_all,
        "/never-starts": a_never_starts,
        "/never-ends": a_never_ends,
        "/starts-twice": a_starts_twice,
        "/system-exit": a_system_exit,
        "/body-first": a_sends({"type": "http.response.body", "body": b"no head"}),
        "/unknown-message": a_sends({"type": "http.response.nonsense"}),
        "/no-type": a_sends({"status": 200}),
        "/not-a-dict": a_sends("http.response.start"),
        "/yields-str": a_sends(START, {"type": "http.response.body", "body": "text"}),
        "/yields-int": a_sends(START, {"type": "http.response.body", "body": 42}),
    }
)
