"""Asks for another process in its place, or grows until it needs one; and is slow on demand."""

from __future__ import annotations

from typing import Any

import pyspeed
from keeper import PLAIN, Receive, Send, StartResponse, asgi_app, note, reply, wait_for_gate, wsgi_app

MIB = 1024 * 1024
kept: list[bytearray] = []


def grow(_environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    kept.append(bytearray(32 * MIB))
    start_response("200 OK", PLAIN)
    return [b"grown"]


async def grow_async(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    kept.append(bytearray(32 * MIB))
    await reply(send, b"grown")


def ask(_environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    pyspeed.recycle("the cache is full")
    start_response("200 OK", PLAIN)
    return [b"asked"]


async def ask_async(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    pyspeed.recycle("the cache is full")
    await reply(send, b"asked")


def wait(_environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    note("wait")
    wait_for_gate()
    start_response("200 OK", PLAIN)
    return [b"waited"]


wsgi = wsgi_app({"/ask": ask, "/grow": grow, "/wait": wait})
asgi = asgi_app({"/ask": ask_async, "/grow": grow_async})
