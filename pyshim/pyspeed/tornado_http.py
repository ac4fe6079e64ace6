"""One request as a Tornado application gets it: start_request(), headers, body, finish().

In: what the data socket brought for one request id (`asgi_connection`). Out: calls of Tornado's
`HTTPServerConnectionDelegate` and `HTTPMessageDelegate`, in their order, each awaited where it asks for it; the
answer comes back through `tornado_answer`. On the event loop's thread.

Reading and answering are apart, as handlers run in tasks that Tornado makes: `run` is over when the delegate
has all of the request, the exchange when that is so and the answer has ended.
"""

from __future__ import annotations

import asyncio
import marshal
import sys

from tornado import httputil
from tornado.log import app_log, gen_log

from . import records
from .exchange import COMPLETE, DISCONNECTED, WAITING, Exchange, StreamedBody
from .tornado_answer import AnswerConnection, ClientContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .exchange import Scope
    from .tornado_worker import TornadoConnection

_CHUNK = 65536  # most bytes that data_received() gets at once, as Tornado's chunk_size


class _Refused(Exception):
    """The request body may not go on: a status for the client, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class TornadoExchange(Exchange):
    """A request under way, its delegate and its answer."""

    __slots__ = ("_answer", "_delegate", "_expired", "_over", "_reading", "head")

    connection: TornadoConnection
    head: bytes  # of the answer, while it is held

    def __init__(
        self, connection: TornadoConnection, request_id: int, scope: Scope, body: bytes | StreamedBody, window: int
    ) -> None:
        super().__init__(connection, request_id, scope, body, window)
        self._answer: AnswerConnection | None = None  # None before it begins and when it is over
        self._delegate: httputil.HTTPMessageDelegate | None = None  # while it is owed its finish()
        self._reading = False  # run() is not over
        self._expired = False  # the body took too long
        self._over = False

    async def run(self) -> None:
        """Hand the request to the application. Never raises."""
        connection = self.connection
        try:
            connection.pending.remove(self)
        except KeyError:
            return  # given back to the gateway, or aborted, before it began
        connection.marks[self.id] = 1
        context = ClientContext(self.scope)
        answer = self._answer = AnswerConnection(self, context)
        self._reading = True
        try:
            await self._hand_over(answer, context)
        except BaseException as exc:  # SystemExit too must not end the loop under other requests
            self._raised(exc)
        self._reading = False
        delegate, self._delegate = self._delegate, None
        if delegate is not None:
            self._quietly(delegate.on_connection_close)
        self._settle()

    async def _hand_over(self, answer: AnswerConnection, context: ClientContext) -> None:
        scope = self.scope
        headers = httputil.HTTPHeaders()
        for field, content in scope["headers"]:
            name = field.decode("latin-1")
            if name not in headers:
                # The gateway has checked the field (RFC 9110 §5.5).
                headers[name] = content.decode("latin-1")
            elif name == "cookie":
                headers[name] += "; " + content.decode("latin-1")  # RFC 6265bis §5.8.3
            else:
                headers.add(name, content.decode("latin-1"))
        start_line = httputil.RequestStartLine(scope["method"], _target(scope), "HTTP/" + scope["http_version"])
        # No client connection reaches the worker, so each request is one of its own to the application.
        delegate = self.connection.app.start_request(context, answer)
        self._delegate = delegate
        waiting = delegate.headers_received(start_line, headers)
        if waiting is not None:
            await waiting
        if self.body and not await self._hand_over_body(answer, delegate, headers):
            return
        if self.stage == DISCONNECTED:
            return
        if not answer.write_finished:
            delegate.finish()
        self._delegate = None

    async def _hand_over_body(
        self, answer: AnswerConnection, delegate: httputil.HTTPMessageDelegate, headers: httputil.HTTPHeaders
    ) -> bool:
        """Give the delegate the body; reports whether it got all of it."""
        limit, timer = answer.max_body_size, None
        if limit is not None and int(headers.get("Content-Length", 0)) > limit:
            raise _Refused(413, "413 Content Too Large")  # RFC 9110 §15.5.14
        if answer.body_timeout is not None:
            timer = self.connection.loop.call_later(answer.body_timeout, self._expire)
        size = 0
        try:
            while not answer.write_finished and self.stage < COMPLETE:
                if self._expired:
                    raise _Refused(408, "408 Request Timeout: the request body took too long")  # RFC 9110 §15.5.9
                pieces, ended = self._take()
                if not pieces and not ended:
                    await self._wait()
                    continue
                for piece in pieces:
                    size += len(piece)
                    if limit is not None and size > limit:
                        raise _Refused(413, "413 Content Too Large")
                    waiting = delegate.data_received(piece)
                    if waiting is not None:
                        await waiting
                    if answer.write_finished or self.stage >= COMPLETE:
                        return False
                    if self.body is not None:
                        # The gateway may send as much again as the application has taken.
                        self.connection.write(records.window(self.id, len(piece)))
                if ended:
                    return True
            return False
        finally:
            if timer is not None:
                timer.cancel()

    def _take(self) -> tuple[Iterable[bytes], bool]:
        """What has arrived of the body, and whether that is its end."""
        body = self.body
        if isinstance(body, StreamedBody):
            pieces = body.chunks
            body.chunks = []
            if body.ended:
                self.body = None
            elif len(pieces) > 1 and sum(map(len, pieces)) <= _CHUNK:
                pieces = [b"".join(pieces)]
            return pieces, body.ended
        self.body = None
        assert body is not None
        if len(body) <= _CHUNK:
            return [body], True
        return [body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK)], True

    def _expire(self) -> None:
        self._expired = True
        self.wake()

    def _raised(self, exc: BaseException) -> None:
        """What the delegate raised, or what is wrong with the request: an answer, where there can be one."""
        if isinstance(exc, (httputil.HTTPInputError, _Refused)):
            # An HTTPInputError's text holds the client's bytes, which are for the log only.
            status, text = (exc.status, f"{exc}\n") if isinstance(exc, _Refused) else (400, "400 Bad Request\n")
            answer = self._answer
            gen_log.info("Malformed HTTP message from %s: %s", answer and answer.context, exc)
            self.refuse(status, text)
            return
        web = sys.modules.get("tornado.web")
        if self.stage == COMPLETE and web is not None and isinstance(exc, web.Finish):
            return  # from a delegate without handlers that tried an upgrade
        if isinstance(exc, asyncio.CancelledError):
            self.log("the request's task was cancelled")
        else:
            app_log.error("Uncaught exception", exc_info=exc)
        self.fail()

    def _quietly(self, callback: Callable[..., Any], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:
            app_log.error("Uncaught exception", exc_info=True)

    def log(self, text: str) -> None:
        """Write a line about this request to the log."""
        self._log(text)

    # The end of the answer.

    def complete(self) -> None:
        """The answer's last byte was written."""
        self.stage = COMPLETE
        self._settle()

    def fail(self) -> None:
        """The answer cannot go on: 500, or a cut one when it had begun."""
        if self.stage < COMPLETE:
            self._incomplete()
            self._broken()

    def refuse(self, status: int, text: str) -> None:
        """Answer in the application's place; once the head was written, cut the answer."""
        if self.stage != WAITING:
            self.fail()
            return
        content = text.encode("ascii")
        fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(content))]
        head = marshal.dumps((status, fields), 2)
        self.connection.write_response(self.id, head, memoryview(content), last=True)
        self.stage = COMPLETE
        self.wake()
        self._broken()

    def _broken(self) -> None:
        if self._answer is not None:
            self._answer.abandon()
        self._settle()

    def _settle(self) -> None:
        """Forget the request, once it is both handed over and answered."""
        answer = self._answer
        if self._reading or self._over or self.stage < COMPLETE or answer is None:
            return
        self._over = True
        # Without the cycle the request goes with its last reference.
        self._answer = None
        self.connection.ended(self)
        self._quietly(self.connection.app.on_close, answer.context)

    # What the connection reports.

    def credit(self, size: int) -> None:
        """The client took size bytes of the answer."""
        self.window += size
        if self._answer is not None:
            self._answer.pump()

    def disconnect(self) -> None:
        """The client left, or the gateway did."""
        if self.stage >= COMPLETE:
            return
        self.stage = DISCONNECTED
        if self._answer is None:
            return  # given back to the gateway this moment: its id is not ours to end
        # Tornado does not say when a handler ends whose client has left, so nothing waits for that.
        self._incomplete()
        answer = self._answer
        callback = answer.abandon() if answer is not None else None
        self.wake()
        if callback is not None and not self._reading:
            self._quietly(callback)
        self._settle()

    def cancel(self) -> None:
        """Do not wait for the application any longer."""
        if self.task is not None and not self.task.done():
            self.task.cancel()
        elif self.stage < COMPLETE:
            self.log("the request was cancelled")
            self.fail()


def _target(scope: Scope) -> str:
    """The request target, less where the application is mounted: its routes know nothing of that."""
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    root: bytes = scope["root_path"].encode()
    if root and path.startswith(root):
        path = path[len(root) :] or b"/"
    return (path + b"?" + query if query else path).decode("latin-1")
