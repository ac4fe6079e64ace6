"""The connection that a Tornado application writes its answer to: Tornado's `HTTPConnection`.

In: what handlers and delegates call. Out: RESPONSE and STDOUT records, within the answer's window. On the event
loop's thread. Nothing here blocks: what the window does not let through is kept, and the future that
`write` gave is done when it has gone.

Tornado's `HTTP1Connection` is the model for whatever its documentation leaves open.
"""

from __future__ import annotations

import marshal
from collections import deque

from tornado import httputil
from tornado.iostream import StreamClosedError

from . import records
from .exchange import COMPLETE, HELD, STREAMING, WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from .exchange import Scope
    from .tornado_http import TornadoExchange

_CONTENT_MAX = records.MAX_CONTENT
_RESPONSE = records.RESPONSE
_LAST = records.LAST
_pack = records.HEADER.pack
_dumps = marshal.dumps


class ClientContext:
    """Who sent the request: the `context` of a connection."""

    def __init__(self, scope: Scope) -> None:
        client = scope["client"]
        self.address: Any = client or ""  # ("192.0.2.1", 50000), or "" on a unix socket
        # As Tornado has it for a unix socket.
        self.remote_ip: str = client[0] if client else "0.0.0.0"
        self.protocol: str = scope["scheme"]

    @property
    def address_family(self) -> int:
        """AF_INET, AF_INET6 or AF_UNIX."""
        import socket

        if not self.address:
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET

    def __str__(self) -> str:
        return self.remote_ip


class AnswerConnection(httputil.HTTPConnection):
    """One request's connection, as the application sees it."""

    no_keep_alive = False  # whether the client's connection persists is the gateway's decision

    def __init__(self, exchange: TornadoExchange, context: ClientContext) -> None:
        self.context = context
        self.write_finished = False  # finish() was called; some of the answer may still wait
        self.max_body_size: int | None = None  # bytes; None: what the gateway let through
        self.body_timeout: float | None = None  # seconds
        self._exchange = exchange
        self._chunk = b""  # goes with the held head
        self._remaining: int | None = None  # bytes of body that Content-Length still allows
        # What waits for credit or for the socket, each with the future that its write gave.
        self._queue: deque[tuple[memoryview, asyncio.Future[None]]] = deque()
        self._draining = False  # told to look again when the socket takes bytes
        self._close_callback: Callable[[], None] | None = None

    # Tornado's interface.

    def write_headers(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
        chunk: bytes | None = None,
    ) -> asyncio.Future[None]:
        """Begin the answer. The future is done when chunk is within the answer's window.

        Raises ValueError for a name or value that holds CR or LF, HTTPOutputError when chunk is longer than
        Content-Length says. A future of StreamClosedError when the client has left.
        """
        exchange = self._exchange
        code = int(start_line[1])
        if exchange.stage >= COMPLETE or self.write_finished:
            return self._closed()
        if code == 101:
            # It would be the gateway's to switch; a WebSocketHandler must not believe that it did.
            raise self._unsupported("WebSockets and other upgrades are not supported")
        if exchange.stage != WAITING:
            raise RuntimeError("cannot write the headers: they have been written")
        fields = [(_latin1(name), _latin1(value)) for name, value in headers.get_all()]
        head = _dumps((code, fields), 2)
        if code < 200:
            exchange.connection.write_response(exchange.id, head, memoryview(b""), last=False)
            return self._done()
        if exchange.scope["method"] == "HEAD" or code == 304:
            self._remaining = 0
        elif "Content-Length" in headers:
            self._remaining = int(headers["Content-Length"])
        exchange.head = head
        exchange.stage = HELD
        content = bytes(chunk) if chunk else b""
        self._count(len(content))
        connection = exchange.connection
        connection.held.append(self)
        if not connection.corked:
            connection.cork()
        if len(content) > exchange.window:
            return self._enqueue(content)
        exchange.window -= len(content)
        self._chunk = content
        return self._done()

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        """Continue the body. The future is done when chunk is within the answer's window.

        Raises HTTPOutputError when the body is longer than Content-Length says. A future of StreamClosedError
        when the client has left.
        """
        exchange = self._exchange
        if exchange.stage >= COMPLETE or self.write_finished:
            return self._closed()
        if exchange.stage == WAITING:
            raise RuntimeError("cannot write: write_headers() comes first")
        content = bytes(chunk)
        self._count(len(content))
        if not content and not self._queue:
            return self._done()
        return self._enqueue(content)

    def finish(self) -> None:
        """End the answer. Raises HTTPOutputError when it is shorter than Content-Length says."""
        exchange = self._exchange
        if exchange.stage >= COMPLETE or self.write_finished:
            self.write_finished = True
            return
        if exchange.stage == WAITING:
            exchange.fail()
            raise RuntimeError("cannot finish: write_headers() comes first")
        if self._remaining:
            exchange.fail()
            raise httputil.HTTPOutputError(f"Tried to write {self._remaining} bytes less than Content-Length")
        self.write_finished = True
        if exchange.stage == HELD and not self._queue:
            head, content = exchange.head, self._chunk
            size = len(head) + len(content)
            connection = exchange.connection
            if size <= _CONTENT_MAX:
                connection.extend((_pack(1, _RESPONSE, exchange.id, size, 0, _LAST), head, content))
                if not connection.corked:
                    connection.cork()
            elif not connection.write_response(exchange.id, head, memoryview(content), last=True):
                connection.end(exchange.id, records.APP_COMPLETE)
            exchange.complete()
        else:
            self.pump()
        # A body that still arrives is not handed on any more.
        exchange.wake()

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Have callback called, once, when the client leaves before the answer was finished.

        While the request body still arrives, the delegate's on_connection_close is called instead.
        """
        self._close_callback = callback

    def set_max_body_size(self, max_body_size: int) -> None:
        """Limit this request's body, in bytes: a longer one gets 413. Only before the body is read."""
        self.max_body_size = max_body_size

    def set_body_timeout(self, timeout: float) -> None:
        """Limit the time that this request's body may take, in seconds: then 408. Only before the body is read."""
        self.body_timeout = timeout

    def detach(self) -> Any:
        """There is no stream to give away: the client gets 501. Raises RuntimeError."""
        self._unsupported("a handler detached its connection, which is not supported")
        raise RuntimeError("cannot detach the connection: pyspeed-gw keeps the client's socket")

    # For the exchange and the data socket.

    def release(self) -> None:
        """Write a head that was held so that its body could go with it."""
        exchange = self._exchange
        if exchange.stage == HELD:
            exchange.stage = STREAMING
            exchange.connection.write_response(exchange.id, exchange.head, memoryview(self._chunk), last=False)
            self._chunk = b""

    def pump(self) -> None:
        """Write what the window and the socket let through."""
        exchange = self._exchange
        connection = exchange.connection
        queue = self._queue
        if exchange.stage >= COMPLETE:
            return
        self.release()
        while queue:
            if connection.blocked:
                if not self._draining:
                    self._draining = True
                    connection.drained().add_done_callback(self._drained)
                return
            rest, future = queue[0]
            size = min(len(rest), exchange.window)
            if size:
                exchange.window -= size
                connection.write_stdout(exchange.id, rest[:size])
                rest = rest[size:]
            if len(rest):
                queue[0] = (rest, future)
                return  # until there is credit
            queue.popleft()
            if not future.done():
                future.set_result(None)
        if self.write_finished:
            connection.end(exchange.id, records.APP_COMPLETE)
            exchange.complete()

    def abandon(self) -> Callable[[], None] | None:
        """The client left, or the answer is broken: no write succeeds any more.

        Returns the callback that is to be told so.
        """
        queue, self._queue = self._queue, deque()
        for _, future in queue:
            if not future.done():
                _fail(future)
        callback, self._close_callback = self._close_callback, None
        return callback

    def _drained(self, _: asyncio.Future[None]) -> None:
        self._draining = False
        self.pump()

    def _enqueue(self, content: bytes) -> asyncio.Future[None]:
        future = self._exchange.connection.loop.create_future()
        self._queue.append((memoryview(content), future))
        self.pump()
        return future

    def _done(self) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._exchange.connection.loop.create_future()
        future.set_result(None)
        return future

    def _closed(self) -> asyncio.Future[None]:
        return _fail(self._exchange.connection.loop.create_future())

    def _count(self, size: int) -> None:
        if self._remaining is not None:
            self._remaining -= size
            if self._remaining < 0:
                self._exchange.fail()
                raise httputil.HTTPOutputError("Tried to write more data than Content-Length")

    def _unsupported(self, what: str) -> Exception:
        """Answer 501, once. Returns what a handler may raise to end without another answer or report."""
        from tornado.web import Finish

        exchange = self._exchange
        if exchange.stage < COMPLETE:
            exchange.log(f"{what}: answered 501")
            exchange.refuse(501, f"501 Not Implemented: {what} by this server.\n")
        return Finish()


def _fail(future: asyncio.Future[None]) -> asyncio.Future[None]:
    future.set_exception(StreamClosedError())
    future.exception()  # whoever does not look at it does not want to know
    return future


def _latin1(text: Any) -> bytes:
    """A field's name or value as bytes (RFC 9110 §5.5)."""
    content = text.encode("latin-1") if isinstance(text, str) else bytes(text)
    if b"\r" in content or b"\n" in content:
        raise ValueError(f"Illegal characters (CR or LF) in header: {content!r}")
    return content
