"""One HTTP request as an ASGI application sees it: scope, receive() and send().

In: what the data socket brought for one request id (`asgi_connection`). Out: the
records of its answer, appended to the connection's cork. Everything here runs
on the event loop's thread.

The paths that nearly every request takes (a body that is already there, an
answer of one small piece) are written out at the top of `receive` and `send`;
what follows them is the general case.
"""

from __future__ import annotations

import asyncio
import marshal
import traceback

from . import records
from .exchange import BROKEN, COMPLETE, DISCONNECTED, HELD, STREAMING, WAITING, Exchange, StreamedBody

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Any, NoReturn

    from .exchange import Scope

    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[Any]]

# send() raises OSError once the client has left: that is HTTP spec version 2.4.
SPEC_VERSION = "2.4"

_CONTENT_MAX = records.MAX_CONTENT
_RESPONSE = records.RESPONSE
_LAST = records.LAST
_FILE_BLOCK = 262144  # bytes read at once for http.response.pathsend
# Turns of the loop between receive()'s return and the cancellation of another task: four in Django 5, fewer in a
# task group.
_TURNS_TO_NOTICE = 8

_pack = records.HEADER.pack
_dumps = marshal.dumps


class ClientDisconnected(OSError):
    """Raised by send() after the client left (ASGI HTTP spec version 2.4)."""


class HttpExchange(Exchange):
    """A request under way and its answer."""

    __slots__ = ("_head",)

    async def run(self) -> None:
        """Call the application and see its answer to an end. Never raises."""
        connection = self.connection
        try:
            connection.pending.remove(self)
        except KeyError:
            return  # given back to the gateway, or aborted, before it began
        scope = self.scope
        # All of it is the request's own, so that an application that writes
        # into it leaks nothing into another request.
        scope["asgi"] = {"version": "3.0", "spec_version": SPEC_VERSION}
        scope["extensions"] = {"http.response.pathsend": {}, "http.response.early_hint": {}}
        scope["state"] = connection.state.copy()
        request_id = self.id
        connection.marks[request_id] = 1
        try:
            await connection.app(scope, self.receive, self.send)
        except BaseException as exc:  # SystemExit too must not end the loop under other requests
            self._raised(exc)
        else:
            if self.stage < COMPLETE:
                self._log("the ASGI application returned without completing its response")
        if self.stage != COMPLETE:
            self._incomplete()
        connection.ended(self)

    async def receive(self) -> Message:
        """The ASGI receive callable."""
        if self.stage < COMPLETE:
            body = self.body
            if body.__class__ is bytes:
                self.body = None
                return {"type": "http.request", "body": body, "more_body": False}
        while self.stage < COMPLETE:
            body = self.body
            if isinstance(body, StreamedBody) and (body.chunks or body.ended):
                return self._received(body)
            await self._wait()
        return {"type": "http.disconnect"}

    def _received(self, body: StreamedBody) -> Message:
        content = body.chunks[0] if len(body.chunks) == 1 else b"".join(body.chunks)
        body.chunks.clear()
        if body.ended:
            self.body = None
        elif content:
            # The gateway may send as much again as the application has taken.
            self.connection.write(records.window(self.id, len(content)))
        return {"type": "http.request", "body": content, "more_body": not body.ended}

    async def send(self, message: Message) -> None:
        """The ASGI send callable."""
        stage = self.stage
        kind = message["type"]
        if stage == HELD and kind == "http.response.body":
            body = message.get("body", b"")
            if body.__class__ is bytes and not message.get("more_body", False):
                head = self._head
                size = len(head) + len(body)
                if size <= _CONTENT_MAX and len(body) <= self.window:
                    connection = self.connection
                    self.stage = COMPLETE
                    connection.extend((_pack(1, _RESPONSE, self.id, size, 0, _LAST), head, body))
                    if not connection.corked:
                        connection.cork()
                    if self.waiters:
                        self.wake()
                    return
        elif stage == WAITING and kind == "http.response.start":
            self._start(message)
            return
        await self._send(kind, message)

    def _start(self, message: Message) -> None:
        status = message["status"]
        headers = message.get("headers", ())
        if not 200 <= status <= 999:
            raise RuntimeError(f"cannot start a response with status {status!r}: it must be in 200..999")
        try:
            if headers.__class__ is not list:
                headers = plain_headers(headers)
            head = _dumps((status, headers), 2)
        except ValueError:
            # An IntEnum for status, a subclass of str, an iterator for a pair:
            # what marshal does not know.
            head = _dumps((int(status), plain_headers(headers)), 2)
        self._head = head
        self.stage = HELD

    async def _send(self, kind: str, message: Message) -> None:
        """The general case of send(), with the order that ASGI asks for."""
        stage = self.stage
        if stage == DISCONNECTED:
            await self._left(f"'{kind}'")
        if stage == BROKEN:
            raise RuntimeError(f"cannot send '{kind}': an earlier send() was cancelled in the middle of its body")
        if stage == COMPLETE:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent, after response already completed.")
        if stage == WAITING:
            if kind != "http.response.early_hint":
                raise RuntimeError(f"Expected ASGI message 'http.response.start', but got '{kind}'.")
            # RFC 8297: an informational answer, and the final one still follows.
            links = [(b"link", bytes(link)) for link in message.get("links", ())]
            self.connection.write_response(self.id, _dumps((103, links), 2), memoryview(b""), last=False)
        elif kind == "http.response.body":
            body = message.get("body", b"")
            if body.__class__ is not bytes:
                # A copy: the application may change a bytearray after send().
                body = bytes(memoryview(body))
            await self._send_body(body, bool(message.get("more_body", False)))
        elif kind == "http.response.pathsend":
            await self._send_path(message["path"])
        else:
            raise RuntimeError(f"Expected ASGI message 'http.response.body', but got '{kind}'.")

    async def _send_body(self, body: bytes, more: bool) -> None:
        connection = self.connection
        rest = memoryview(body)
        sent = False
        try:
            while True:
                size = min(len(rest), self.window)
                if size == 0 and len(rest):
                    await self._wait()
                    if self.stage == DISCONNECTED:
                        await self._left("the answer's body")
                    continue
                part, rest = rest[:size], rest[size:]
                last = not more and not len(rest)
                self.window -= size
                sent = True
                if self.stage == HELD:
                    self.stage = STREAMING
                    ended = connection.write_response(self.id, self._head, part, last=last)
                else:
                    connection.write_stdout(self.id, part)
                    ended = False
                if last:
                    if not ended:
                        connection.end(self.id, records.APP_COMPLETE)
                    self.stage = COMPLETE
                    if self.waiters:
                        self.wake()
                    return
                if connection.blocked:
                    await connection.drain()
                    if self.stage == DISCONNECTED:
                        await self._left("the answer's body")
                if not len(rest):
                    return
        except asyncio.CancelledError:
            if sent and len(rest) and self.stage == STREAMING:
                self.stage = BROKEN
            raise

    async def _left(self, what: str) -> NoReturn:
        """The client left, so that ``what`` cannot be sent.

        An application that waits for http.disconnect learns of it first, and may cancel this send(): Django
        closes its response then, and the database connections with it, but not after send() has raised.
        """
        for _ in range(_TURNS_TO_NOTICE):
            await asyncio.sleep(0)
        raise ClientDisconnected(f"cannot send {what}: the client has disconnected")

    async def _send_path(self, path: str) -> None:
        """Send a file as the (rest of the) body: extension http.response.pathsend."""
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(None, open, path, "rb")
        try:
            while True:
                block = await loop.run_in_executor(None, file.read, _FILE_BLOCK)
                # A short block may still be followed by more, an empty one not.
                await self._send_body(block, more=bool(block))
                if not block:
                    return
        finally:
            file.close()

    def _raised(self, exc: BaseException) -> None:
        if self.stage == DISCONNECTED and is_disconnect(exc):
            return  # the usual end of an application whose client left
        if isinstance(exc, asyncio.CancelledError):
            self._log("the request's task was cancelled")
        else:
            # Less this module's own frame.
            trace = exc.__traceback__.tb_next if exc.__traceback__ else None
            text = "".join(traceback.format_exception(type(exc), exc, trace))
            self._log("exception in the ASGI application\n" + text.rstrip("\n"))


def plain_headers(headers: Iterable[Iterable[Any]]) -> list[tuple[bytes, bytes]]:
    """The same headers in the types that the wire knows.

    Names and values may be any bytes-like object, or str in Latin-1.
    """
    return [(_plain(name), _plain(value)) for name, value in headers]


def _plain(text: Any) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else bytes(memoryview(text))


def is_disconnect(exc: BaseException) -> bool:
    """Whether exc comes from a send() after the client left, however wrapped.

    Starlette raises an exception of its own from it, and task groups raise a
    group that contains it.
    """
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [exc]
    while todo:
        one = todo.pop()
        if one is None or one in seen:
            continue
        if isinstance(one, ClientDisconnected):
            return True
        seen.append(one)
        todo += (one.__cause__, one.__context__)
        todo += getattr(one, "exceptions", ())
    return False
