"""The data socket of a worker that runs a Tornado application.

As `asgi_connection`, with what is Tornado's own: heads that wait for their body, handlers that outlive their answer,
Tornado's autoreload. On the event loop's thread.
"""

from __future__ import annotations

import asyncio
import os
import sys

from .asgi_connection import Connection
from .tornado_http import TornadoExchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .tornado_answer import AnswerConnection

# The coroutine that Tornado runs a handler's method in.
_HANDLER = "RequestHandler._execute"


class TornadoConnection(Connection):
    """The data socket and the requests on it."""

    exchange_class = TornadoExchange

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.held: list[AnswerConnection] = []  # may hold a head that waits for its first piece of body
        self._cancelled = False

    def _flush(self) -> None:
        held = self.held
        if held:
            self.corked = True  # what is released goes with this flush
            for answer in held:
                answer.release()
            held.clear()
        super()._flush()

    async def finish(self) -> None:
        """Wait for handlers that go on after their answer, then write all that is left."""
        while not self._cancelled:
            handlers = _handlers(self.loop)
            if not handlers:
                break
            await asyncio.wait(handlers)
        await super().finish()

    def cancel(self) -> None:
        """Do not wait for the requests any longer, nor for handlers."""
        self._cancelled = True
        super().cancel()
        for task in _handlers(self.loop):
            task.cancel()


def _handlers(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks(loop) if getattr(task.get_coro(), "__qualname__", "").endswith(_HANDLER)]


def end_for_reload() -> None:
    """End the process: tornado.autoreload would start it anew without its sockets, the gateway does it with."""
    sys.stderr.write("pyspeed: tornado.autoreload found a changed file: the worker ends and is started anew\n")
    sys.stderr.flush()
    os._exit(0)
