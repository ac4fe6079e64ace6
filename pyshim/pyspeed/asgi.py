"""Serves an ASGI 3.0 application, or a Tornado one: one event loop, a task per request.

In: the loaded application, the start message, the data socket and the control
socket. Out: an exit code, when told to stop and done with it. `run` holds the main thread;
what the control thread asks for is handed to the loop, except `reclaim` and
`ping`, which must be answered also while the application holds the loop.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback

from .asgi_connection import Connection
from .control import resident_kib
from .lifespan import Lifespan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable
    from mmap import mmap
    from typing import Any

    from .control import Control, Message
    from .exchange import Exchange
    from .hooks import Hooks

# How long a ping waits for the loop to turn before it reports that it did not.
_PING_WAIT = 0.02  # seconds


def run(
    app: Any,
    settings: dict[str, Any],
    data_socket: socket,
    marks: mmap,
    control: Control,
    ready: Callable[[dict[str, Any]], None],
    connection_class: type[Connection] = Connection,
    hooks: Hooks | None = None,
) -> int:
    """Serve app until told to stop; returns the exit code.

    connection_class is what knows how to call app. Raises StartFailed when the
    application's lifespan does not let it start.
    """
    loop, name = _new_loop()
    asyncio.set_event_loop(loop)
    try:
        state: dict[str, Any] = {}
        lifespan = Lifespan(app, settings.get("lifespan", "auto"), state)
        connection = connection_class(app, data_socket, marks, loop, state)
        connection.errors_as_records = settings.get("errors") == "records"
        service = _Service(lifespan, connection, control, loop, settings)
        if hooks is None:
            return loop.run_until_complete(service.serve(name, ready))
        control.stage("hook", "post_worker_init")
        hooks.post_worker_init(app, loop.run_until_complete)
        try:
            return loop.run_until_complete(service.serve(name, ready))
        finally:
            hooks.worker_exit(loop.run_until_complete)
    finally:
        _close_loop(loop)


class _Service:
    """The application, its lifespan and its connection, from start to stop."""

    def __init__(
        self,
        lifespan: Lifespan,
        connection: Connection,
        control: Control,
        loop: asyncio.AbstractEventLoop,
        settings: dict[str, Any],
    ) -> None:
        self._loop = loop
        self._control = control
        self._lifespan = lifespan
        self._connection = connection
        self._limit: int = settings.get("lifespan_timeout", 0)  # milliseconds that the shutdown may take; 0: any time
        self._attached = bool(settings.get("attached"))
        self._idle: asyncio.Future[None] = loop.create_future()
        self._stopping = False
        self._turned = threading.Event()  # the loop ran what the last ping gave it
        self._turned.set()
        self._asked = 0.0  # when that was

    async def serve(self, loop_name: str, ready: Callable[[dict[str, Any]], None]) -> int:
        self._control.on_dump(self._dump)
        # Until here `stop` means what worker.py made of it: end at once.
        if self._lifespan.mode != "off":
            self._control.stage("lifespan")
        lifespan = await self._lifespan.startup()
        connection = self._connection
        connection.on_lost = self._stop
        control = self._control
        control.on("stop", lambda message: self._soon(self._stop))
        control.on("reclaim", lambda message: control.send({"event": "reclaimed", "ids": connection.reclaim()}))
        control.on("ping", self._ping)
        control.on("stats", self._stats)
        connection.start()
        ready({"loop": loop_name, "lifespan": lifespan, "threads": 0})
        await self._idle
        await connection.finish()
        if self._limit:
            from .patience import limited

            await limited(self._lifespan, self._limit, self._control, self._attached)
        else:
            await self._lifespan.shutdown()
        connection.close()
        return 0

    def _soon(self, callback: Callable[[], None]) -> None:
        """Have callback run on the loop, unless that is closed: then there is nothing left to do.

        In the connection's context, as it may start requests.
        """
        try:
            self._loop.call_soon_threadsafe(callback, context=self._connection.context)
        except RuntimeError:
            pass

    def _stop(self) -> None:
        connection = self._connection
        if self._stopping:
            # Told a second time: do not wait for the requests any longer.
            connection.cancel()
            return
        self._stopping = True
        # What the gateway sent before it said `stop` is to be served.
        while not connection.lost and connection.read():
            pass
        connection.on_idle = self._finish
        if not connection.running():
            self._finish()

    def _finish(self) -> None:
        if not self._idle.done():
            self._idle.set_result(None)

    def _ping(self, message: Message) -> None:
        """Say how long ago the loop last turned. On the control thread.

        Nothing wakes the loop up between pings: each gives the loop one thing
        to do, and as long as that has not run, the loop has not turned since.
        """
        if self._turned.is_set():
            self._turned.clear()
            self._asked = time.monotonic()
            self._soon(self._turned.set)
        self._turned.wait(_PING_WAIT)
        age = int((time.monotonic() - self._asked) * 1000)
        self._control.send({"event": "pong", "n": message.get("n", 0), "loop_ms": age})

    def _stats(self, message: Message) -> None:
        active = len(self._connection.running())
        self._control.send(
            {"event": "stats", "active": active, "threads": threading.active_count(), "rss_kib": resident_kib()}
        )

    def _dump(self) -> None:
        """Write where every task stands to stderr. On the control thread."""
        requests = {exchange.task: exchange for exchange in self._connection.running()}
        lines: list[str] = []
        for task in asyncio.all_tasks(self._loop):
            exchange = requests.get(task)
            lines.append("Task {}{}:".format(task.get_name(), _of_request(exchange) if exchange else ""))
            lines.extend(f'  File "{file}", line {line} in {name}' for file, line, name in _stack(task))
        sys.stderr.write("".join(line + "\n" for line in lines))


def _of_request(exchange: Exchange) -> str:
    scope = exchange.scope
    return " ({} {})".format(scope.get("method", "-"), ascii(scope.get("path", ""))[1:-1])


def _stack(task: asyncio.Task[Any]) -> list[tuple[str, int, str]]:
    """Where a task stands, outermost frame first.

    Task.get_stack() knows only the outermost frame of a task that waits.
    """
    places = []
    awaitable: Any = task.get_coro()
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        if frame is None:
            break
        places.append((frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name))
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)
    return places


def _new_loop() -> tuple[asyncio.AbstractEventLoop, str]:
    """The loop to serve on, and the name of what it is made of."""
    loop = _loop_of_import()
    if loop is None:
        try:
            import uvloop
        except ImportError:
            loop = asyncio.new_event_loop()
        else:
            loop = uvloop.new_event_loop()
    return loop, "uvloop" if type(loop).__module__.startswith("uvloop") else "asyncio"


def _loop_of_import() -> Any:
    """The loop that importing the application made current, if it did.

    A lock made at module level in Python 3.9 belongs to it, and so may futures
    and tasks in any version. asyncio has no question for it that does not make
    one, so this asks the policy's own memory.
    """
    if sys.version_info >= (3, 14):
        try:
            loop: Any = asyncio.get_event_loop()
        except RuntimeError:
            return None
    else:
        local = getattr(asyncio.get_event_loop_policy(), "_local", None)
        loop = getattr(local, "_loop", None)
    return None if loop is None or loop.is_closed() else loop


def _close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """End what the application left running, as asyncio.run() does."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
                sys.stderr.write(f"pyspeed: exception in task {task.get_name()} at the worker's end\n{text}")
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
