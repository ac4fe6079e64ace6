"""ASGI lifespan: the application's own start and end.

In: the application and the setting `auto`, `on` or `off`. Out: the state that it
put into its scope, and whether it may serve. Runs on the event loop's thread, in
a task of its own.

With `auto` an application that raises before it has said how its start went is
taken not to know the protocol, and is served all the same; with `on` that is a
failure. An application that says `lifespan.startup.failed` is never served.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback

from .control import StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .asgi_http import Application, Message

_log = logging.getLogger("pyspeed.lifespan")


class Lifespan:
    """The lifespan task of one application."""

    def __init__(self, app: Application, mode: str, state: dict[str, Any]) -> None:
        self._app = app
        self.mode = mode
        self._state = state
        self._task: asyncio.Task[None] | None = None
        self._messages: list[Message] = []
        self._receivers: list[asyncio.Future[None]] = []
        self._started = False  # the application answered the startup
        self._stopped = False  # the application answered the shutdown
        self._startup_failure: str | None = None
        self._error: BaseException | None = None
        self._answer: asyncio.Future[None] | None = None

    async def startup(self) -> str:
        """Wait for the application's start.

        Returns what became of it: `on`, `off` or `unsupported`. Raises
        StartFailed when the application must not be served.
        """
        if self.mode == "off":
            return "off"
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._ask("lifespan.startup")
        if self._startup_failure is not None:
            raise StartFailed("lifespan", "application startup failed", self._startup_failure)
        if self._error is None or self._started:
            return "on"
        if self.mode == "on":
            raise StartFailed("lifespan", _line(self._error), _text(self._error))
        _log.debug("ASGI lifespan protocol appears unsupported", exc_info=self._error)
        return "unsupported"

    async def shutdown(self) -> None:
        """Tell the application that the worker ends, and wait for its answer."""
        if self._task is not None and not self._task.done():
            await self._ask("lifespan.shutdown")

    def give_up(self) -> None:
        """Have :meth:`shutdown` return without an answer."""
        self._answered()

    async def _ask(self, kind: str) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        self._messages.append({"type": kind})
        self._wake()
        await self._answer

    def _answered(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _wake(self) -> None:
        receivers, self._receivers = self._receivers, []
        for receiver in receivers:
            if not receiver.done():
                receiver.set_result(None)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except BaseException as exc:  # SystemExit too must not end the loop under running requests
            self._error = exc
            if self._started and not isinstance(exc, asyncio.CancelledError):
                sys.stderr.write("pyspeed: exception in the ASGI lifespan\n" + _text(exc))
        finally:
            self._answered()

    async def _receive(self) -> Message:
        while not self._messages:
            receiver: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._receivers.append(receiver)
            await receiver
        return self._messages.pop(0)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        phase, _, outcome = kind.rpartition(".")
        if phase == "lifespan.startup" and not self._started and self._startup_failure is None:
            if outcome == "complete":
                self._started = True
            elif outcome == "failed":
                self._startup_failure = str(message.get("message", ""))
        elif phase == "lifespan.shutdown" and self._started and not self._stopped:
            self._stopped = True
            if outcome == "failed":
                text = str(message.get("message", "")).rstrip("\n")
                sys.stderr.write(f"pyspeed: application shutdown failed\n{text}\n")
        else:
            raise RuntimeError(f"cannot send '{kind}' now: invalid state transition on the lifespan protocol")
        if outcome not in ("complete", "failed"):
            raise RuntimeError(f"cannot send '{kind}': no message of the lifespan protocol")
        self._answered()


def _line(error: BaseException) -> str:
    lines = traceback.format_exception_only(type(error), error)
    return lines[-1].strip()


def _text(error: BaseException) -> str:
    # Less the shim's own frame.
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    return "".join(traceback.format_exception(type(error), error, trace))
