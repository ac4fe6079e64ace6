"""A request under way on the event loop and how far its answer is: what ASGI and Tornado share.

In: what the data socket brought for one request id (`asgi_connection`). Out: its END_REQUEST. Everything here
runs on the event loop's thread; the interfaces' own classes run the application and write the answer.
"""

from __future__ import annotations

import sys

from . import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from typing import Any

    from .asgi_connection import Connection

    Scope = dict[str, Any]

# How far the answer is.
WAITING = 0  # nothing of it is known yet
HELD = 1  # the head is known, and waits for the first piece of body
STREAMING = 2  # the head is on the wire
COMPLETE = 3
DISCONNECTED = 4  # the client left first
BROKEN = 5  # ASGI: a send() was cancelled in the middle of its body


class StreamedBody:
    """A request body that arrives in STDIN records."""

    __slots__ = ("chunks", "ended")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.ended = False


class Exchange:
    """One request, from the record that brought it to the one that ends it."""

    __slots__ = ("body", "connection", "id", "scope", "stage", "task", "waiters", "window")

    def __init__(
        self, connection: Connection, request_id: int, scope: Scope, body: bytes | StreamedBody | None, window: int
    ) -> None:
        self.connection = connection
        self.id = request_id
        self.scope = scope
        self.body = body  # None once it was received whole
        self.window = window  # bytes of answer body that may be sent now
        self.stage = WAITING
        # Futures of calls that wait for the gateway. Each call has its own: cancelling
        # one waiter must not cancel another.
        self.waiters: list[asyncio.Future[None]] | None = None
        self.task: asyncio.Task[None] | None = None  # of run()

    async def run(self) -> None:
        """Hand the request to the application. Never raises. In a task of its own."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Do not wait for the application any longer."""
        if self.task is not None:
            self.task.cancel()

    async def _wait(self) -> None:
        """Wait for the next thing the gateway says about this request."""
        waiter: asyncio.Future[None] = self.connection.loop.create_future()
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(waiter)
        await waiter

    def wake(self) -> None:
        """Let everything that waits look again."""
        waiters, self.waiters = self.waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    # What the connection reports.

    def stdin(self, content: bytes) -> None:
        """A piece of the request body; an empty one ends it (FastCGI 1.0, 5.3)."""
        body = self.body
        if not isinstance(body, StreamedBody) or self.stage >= COMPLETE:
            return  # nobody will read it any more
        if content:
            body.chunks.append(content)
        else:
            body.ended = True
        self.wake()

    def credit(self, size: int) -> None:
        """The client took size bytes of the answer."""
        self.window += size
        self.wake()

    def disconnect(self) -> None:
        """The client left, or the gateway did."""
        if self.stage < COMPLETE:
            self.stage = DISCONNECTED
            self.wake()

    # The end of a request that was not answered in full.

    def _incomplete(self) -> None:
        if self.stage == DISCONNECTED:
            self.connection.end(self.id, records.APP_ABORTED)
            return
        self.connection.end(self.id, records.APP_FAILED)
        self.stage = COMPLETE
        self.wake()

    def _log(self, text: str) -> None:
        scope = self.scope
        # The target is the client's: %r keeps it to one line without control characters.
        path = ascii(scope.get("path", ""))[1:-1]
        line = "pyspeed: {} {}: {}\n".format(scope.get("method", "-"), path, text)
        if self.connection.errors_as_records and self.stage < COMPLETE:
            self.connection.write_stderr(self.id, line.encode("utf-8", "backslashreplace"))
            return
        sys.stderr.write(line)
        sys.stderr.flush()
