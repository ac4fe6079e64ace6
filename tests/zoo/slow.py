"""Takes its time: reads a body only when the test says so."""

from __future__ import annotations

import asyncio
from typing import Any

from keeper import PLAIN, Receive, Send, StartResponse, asgi_app, read_body, reply, wait_for_gate, wsgi_app


def upload(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    wait_for_gate()
    size = 0
    while chunk := environ["wsgi.input"].read(65536):
        size += len(chunk)
    start_response("200 OK", PLAIN)
    return [str(size).encode()]


async def upload_async(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await asyncio.get_running_loop().run_in_executor(None, wait_for_gate)
    await reply(send, str(len(await read_body(receive))).encode())


wsgi = wsgi_app({"/upload": upload})
asgi = asgi_app({"/upload": upload_async})
