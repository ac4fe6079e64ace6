"""Requests that begin their answer late, or make a long one.

``/sleep`` answers ``late`` once the test opens the gate, whatever becomes of the client; ``/stream`` and ``/events``
begin at once, and end when the gate ``stream`` opens.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any

from keeper import PLAIN, PLAIN_BYTES, Receive, Send, StartResponse, asgi_app, note, reply, wait_for_gate, wsgi_app


def sound_asleep() -> None:
    wait_for_gate()


def sleep(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    note(environ["QUERY_STRING"] or "sleep")
    sound_asleep()
    note("woke")
    start_response("200 OK", PLAIN)
    return [b"late"]


def _pieces() -> Iterable[bytes]:
    yield b"data: first\n\n"
    wait_for_gate("stream")
    yield b"data: last\n\n"


def stream(_environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    return _pieces()


def events(_environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    return _pieces()


async def sound_asleep_async(name: str = "gate") -> None:
    while not os.path.exists(f"{os.environ['ZOO_GATE']}.{name}"):
        await asyncio.sleep(0.01)


async def sleep_async(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    note(scope["query_string"].decode() or "sleep")
    await sound_asleep_async()
    note("woke")
    await reply(send, b"late")


def _streamed(content_type: bytes) -> Any:
    async def answer(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", content_type)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        await sound_asleep_async("stream")
        await send({"type": "http.response.body", "body": b"data: last\n\n"})

    return answer


wsgi = wsgi_app({"/sleep": sleep, "/stream": stream, "/events": events})
asgi = asgi_app(
    {"/sleep": sleep_async, "/stream": _streamed(PLAIN_BYTES[0][1]), "/events": _streamed(b"text/event-stream")}
)
