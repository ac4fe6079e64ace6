"""Workers that end inside a request."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

from keeper import PLAIN, PLAIN_BYTES, Receive, Send, StartResponse, asgi_app, note, wait_for_gate, wsgi_app


def before(_environ: dict[str, Any], _start_response: StartResponse) -> list[bytes]:
    note("before")
    os._exit(7)


def crash(_environ: dict[str, Any], _start_response: StartResponse) -> list[bytes]:
    note("crash")
    os.kill(os.getpid(), signal.SIGSEGV)
    signal.pause()
    return []


def inside(_environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    note("inside")
    start_response("200 OK", PLAIN)
    yield b"first\n"
    wait_for_gate()
    os._exit(7)


async def before_async(_scope: dict[str, Any], _receive: Receive, _send: Send) -> None:
    note("before")
    os._exit(7)


async def crash_async(_scope: dict[str, Any], _receive: Receive, _send: Send) -> None:
    note("crash")
    os.kill(os.getpid(), signal.SIGSEGV)
    signal.pause()


async def inside_async(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    note("inside")
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN_BYTES})
    await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
    # In a thread, or the loop could not send what it was given.
    await asyncio.get_running_loop().run_in_executor(None, wait_for_gate)
    os._exit(7)


wsgi = wsgi_app({"/before": before, "/crash": crash, "/inside": inside})
asgi = asgi_app({"/before": before_async, "/crash": crash_async, "/inside": inside_async})
