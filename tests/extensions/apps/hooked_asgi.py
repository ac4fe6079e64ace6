"""Lifecycle hooks of an ASGI application: one plain, one a coroutine function."""

from __future__ import annotations

import asyncio
import os
from typing import Any


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            print("hook:", kind, flush=True)
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hooked"})


def in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def post_fork() -> None:
    print("hook: post_fork", in_loop(), flush=True)


if os.environ.get("HOOK") == "plain":

    def post_worker_init(worker: Any) -> None:
        print("hook: post_worker_init", in_loop(), worker.app is application, flush=True)

else:

    async def post_worker_init(worker: Any) -> None:  # type: ignore[misc]
        await asyncio.sleep(0)
        print("hook: post_worker_init", in_loop(), worker.app is application, flush=True)


async def worker_exit(worker: Any) -> None:
    await asyncio.sleep(0)
    print("hook: worker_exit", in_loop(), flush=True)
