"""Prints a lot, on both streams, with and without line ends, and terminal escapes."""

from __future__ import annotations

import os
import sys
from typing import Any

from keeper import PLAIN, Receive, Send, StartResponse, asgi_app, reply, wsgi_app


def shout() -> None:
    for number in range(20_000):
        print(f"out {number} " + "o" * 60)
        print(f"err {number} " + "e" * 60, file=sys.stderr)
    sys.stdout.flush()
    os.write(1, b"x" * 1_000_000 + b"\n")
    os.write(2, b"\x1b[31m\xff\x00 red\n")
    print("shouted")
    sys.stdout.flush()


def loud(_environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    shout()
    start_response("200 OK", PLAIN)
    return [b"ok"]


async def loud_async(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    shout()
    await reply(send, b"ok")


wsgi = wsgi_app({"/loud": loud})
asgi = asgi_app({"/loud": loud_async})
