"""Leaks until there is no memory left (the limit is its own)."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

from keeper import PLAIN, Receive, Send, StartResponse, asgi_app, reply, wsgi_app

MIB = 1024 * 1024
kept: list[bytearray] = []


def leak() -> None:
    if not kept:
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + 256 * MIB, resource.RLIM_INFINITY))
    kept.append(bytearray(64 * MIB))


def forget(_environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    leak()
    start_response("200 OK", PLAIN)
    return [b"leaked"]


async def forget_async(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    leak()
    await reply(send, b"leaked")


wsgi = wsgi_app({"/leak": forget})
asgi = asgi_app({"/leak": forget_async})
