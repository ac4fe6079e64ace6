"""Applications whose lifespans start, fail, hang or are unknown."""

from __future__ import annotations

import asyncio
import bdb
import sys
import threading
from typing import Any

from asgi_apps import Receive, Scope, Send, answer


async def serve(scope: Scope, send: Send) -> None:
    found = repr(sorted(scope["state"].items()))
    scope["state"]["request"] = "was here"
    await answer(send, found.encode())


def say(text: str) -> None:
    sys.stderr.write(f"lifespan: {text}\n")


async def complete(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        await serve(scope, send)
        return
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
    say((await receive())["type"])
    scope["state"]["pool"] = "shared"
    await send({"type": "lifespan.startup.complete"})
    say((await receive())["type"])
    await send({"type": "lifespan.shutdown.complete"})


async def waits_at_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    try:
        await asyncio.Event().wait()
    finally:
        say("cancelled")


async def sticks_at_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    threading.Event().wait()


class Prompt(bdb.Bdb):
    """A debugger whose developer thinks, until the process ends."""

    def __init__(self, reached: threading.Event) -> None:
        super().__init__()
        self.reached = reached

    def interaction(self) -> None:
        self.reached.set()
        threading.Event().wait()


async def debugged_at_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    reached = threading.Event()
    threading.Thread(target=Prompt(reached).interaction, daemon=True).start()
    reached.wait()
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.sleep(0.3)  # several times the limit
    await send({"type": "lifespan.shutdown.complete"})
    say("done")


async def startup_failed(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "Traceback: no database"})
    raise RuntimeError("no database")


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise LookupError("what is a lifespan?")
    await serve(scope, send)


async def exits(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise SystemExit("not today")
    await serve(scope, send)


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        await serve(scope, send)


async def shutdown_failed(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        await serve(scope, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "could not flush"})


async def dies_while_serving(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        await serve(scope, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await asyncio.sleep(0)
    raise LookupError("lifespan died")


async def wrong_order(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        await serve(scope, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    for kind in ("lifespan.startup.complete", "lifespan.shutdown.nonsense", "http.response.start"):
        try:
            await send({"type": kind})
        except RuntimeError as exc:
            say(str(exc))
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        say("hangs")
        await asyncio.Event().wait()


async def leaves_work(scope: Scope, receive: Receive, send: Send) -> None:
    """Leaves a task, an asynchronous generator and a thread's work behind."""
    if scope["type"] != "lifespan":
        await serve(scope, send)
        return

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            say("task ended")

    async def numbers() -> Any:
        try:
            yield 1
            yield 2
        finally:
            say("generator ended")

    await receive()
    keep: Any = [asyncio.ensure_future(work()), numbers()]
    await keep[1].__anext__()
    asyncio.get_running_loop().run_in_executor(None, say, "thread ended")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
    await asyncio.Event().wait()
