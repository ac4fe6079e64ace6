"""The data socket of an ASGI worker: many requests on one connection.

In: FastCGI records (profile pyspeed/1), as many as have arrived, in one read.
Out: the records of all answers that became ready in one turn of the event loop,
in one write. Runs on the event loop's thread, except `Connection.reclaim`.

It reads and writes the socket itself, with the loop's readiness callbacks. In
`tests/bench_asgi.py` that costs the same as a Protocol or a BufferedProtocol, and
it leaves here, and the same on every loop, what is written when and in what pieces.
"""

from __future__ import annotations

import asyncio
import contextvars
import marshal
import mmap
import sys
import threading

from . import records
from .asgi_http import HttpExchange
from .exchange import StreamedBody

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable
    from typing import Any, Union

    from .exchange import Exchange

    Buffer = Union[bytes, memoryview]

_RECEIVE = 262144  # bytes read at once; holds several of the largest records
_BULKY = 16384  # pieces from this size on are handed to the kernel as they are
_VECTORS = 512  # pieces for one sendmsg(); Linux allows 1,024
_HIGH_WATER = 1048576  # unsent bytes above which no new work is read

_REQUEST = records.REQUEST
_MORE = records.MORE
_BODY = records.BODY
# asyncio.Task(eager_start=) came with Python 3.12.
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
_TASK_NAME = "pyspeed.http"

_MIN_WINDOW = records.MIN_WINDOW
# What marshal.loads() raises for bytes that are no value, and unpacking for one that is no pair.
_UNREADABLE = (ValueError, EOFError, TypeError)
_unpack = records.HEADER.unpack_from
_pack = records.HEADER.pack
_loads = marshal.loads


class Connection:
    """The data socket and the requests on it."""

    exchange_class: type[Exchange] = HttpExchange  # what a request is made into

    def __init__(
        self,
        app: Any,
        data_socket: socket,
        marks: Any,
        loop: asyncio.AbstractEventLoop,
        state: dict[str, Any],
    ) -> None:
        self.app = app
        self.marks = marks
        self.loop = loop
        self.state = state  # of the lifespan; requests get copies
        self.context = contextvars.copy_context()  # as importing the application left it
        self.pending: set[Exchange] = set()  # not begun: who removes one, owns it
        self.exchanges: dict[int, Exchange] = {}  # by request id, until the task ends
        self.lingering: set[Exchange] = set()  # answered, id used again, task not ended
        self.out: list[Buffer] = []  # records for the next write; always this list
        self.extend = self.out.extend  # for the small answers: saves a look-up per request
        self.corked = False  # a flush is scheduled
        self.blocked = False  # the gateway does not take our bytes at the moment
        self.lost = False  # the socket is closed at the other end
        self.errors_as_records = False  # what goes wrong in a request is sent as its STDERR
        self.on_idle: Callable[[], None] | None = None  # called when the last request ended
        self.on_lost: Callable[[], None] = lambda: None
        self._bulky = False  # out has a large piece
        self._backlog: list[Buffer] = []  # what the kernel did not take
        self._unsent = 0  # bytes in it
        self._reading = False
        self._closed = False
        self._drained: list[asyncio.Future[None]] = []
        # Mapped, so that only as much of it takes memory as ever arrives at once.
        self._view = memoryview(mmap.mmap(-1, _RECEIVE, access=mmap.ACCESS_COPY))
        self._filled = 0  # bytes at the buffer's start that are not parsed
        self._kept = False  # whole records are among them
        self._lock = threading.Lock()  # guards reading, buffer and the three above
        self._head: bytearray | None = None  # a REQUEST continued with MORE
        self._socket = data_socket
        data_socket.setblocking(False)

    def start(self) -> None:
        """Begin to read requests."""
        self._reading = True
        self.loop.add_reader(self._socket, self.read)

    def close(self) -> None:
        """Stop reading and writing; the socket stays the caller's."""
        self._closed = True
        if self._reading:
            self._pause_reading()
        self.loop.remove_writer(self._socket)

    # In.

    def read(self) -> bool:
        """Read what has arrived and begin the requests in it.

        Reports whether there may be more.
        """
        begun: list[Exchange] = []
        with self._lock:
            if not self._take(begun):
                return False
        # Without the lock: some tasks begin right here, and may hold the thread.
        if begun:
            self._begin(begun)
        return True

    def _take(self, begun: list[Exchange]) -> bool:
        """Read once, and parse. With the lock."""
        filled = self._filled
        view = self._view
        size = 0
        if self._kept:
            self._kept = False  # there are whole records in the buffer already
        else:
            try:
                size = self._socket.recv_into(view[filled:] if filled else view)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError:
                size = 0
            if size == 0:
                self._lose()
                return False
        make = self.exchange_class
        add_pending = self.pending.add
        exchange_of = self.exchanges.setdefault
        end = filled + size
        at = 0
        while end - at >= 8:
            _, kind, request_id, length, padding, flags = _unpack(view, at)
            start = at + 8
            stop = start + length
            if stop + padding > end:
                break
            at = stop + padding
            if kind == _REQUEST and not flags & (_MORE | _BODY) and self._head is None:
                try:
                    scope, body = _loads(view[start:stop])
                except _UNREADABLE as exc:
                    self._refuse(request_id, exc)
                    continue
                exchange = make(self, request_id, scope, body, _MIN_WINDOW << (flags >> 4))
                add_pending(exchange)
                begun.append(exchange)
                if exchange_of(request_id, exchange) is not exchange:
                    self._reuse_id(exchange)
            else:
                self._record(kind, request_id, flags, view[start:stop], begun)
        if at and at != end:
            view[: end - at] = view[at:end]
        self._filled = end - at
        return True

    def _begin(self, begun: list[Exchange]) -> None:
        loop = self.loop
        if loop.get_task_factory() is not None:
            for exchange in begun:
                exchange.task = loop.create_task(exchange.run())
        elif _EAGER:
            # Runs each application up to its first real wait. Every request of
            # the batch is pending before the first begins, so those behind one
            # that blocks can still be given back.
            for exchange in begun:
                exchange.task = asyncio.Task(exchange.run(), loop=loop, name=_TASK_NAME, **_EAGER)
            self._flush()
            return
        else:
            # What loop.create_task does, less a call; the name saves making one up.
            for exchange in begun:
                exchange.task = asyncio.Task(exchange.run(), loop=loop, name=_TASK_NAME)
        if not self.corked:
            # Scheduled behind the tasks' first steps: what they answer without
            # waiting leaves in the same turn of the loop.
            self.cork()

    def _refuse(self, request_id: int, exc: Exception) -> None:
        """Fail one request whose head cannot be read; where the next record starts is known all the same."""
        sys.stderr.write(f"pyspeed: cannot read the head of request {request_id}: {exc}\n")
        self.end(request_id, records.APP_FAILED)

    def _reuse_id(self, exchange: Exchange) -> None:
        """The id's last request was answered, but its task goes on (a background task)."""
        self.lingering.add(self.exchanges[exchange.id])
        self.exchanges[exchange.id] = exchange

    def _record(self, kind: int, request_id: int, flags: int, content: memoryview, begun: list[Exchange]) -> None:
        """Take any record but a plain REQUEST."""
        if kind == _REQUEST:
            head = self._head
            if head is None:
                head = bytearray()
            head += content
            if flags & _MORE:
                self._head = head
                return
            self._head = None
            try:
                scope, body = _loads(head)
            except _UNREADABLE as exc:
                self._refuse(request_id, exc)
                return
            exchange = self.exchange_class(
                self, request_id, scope, StreamedBody() if body is None else body, _MIN_WINDOW << (flags >> 4)
            )
            self.pending.add(exchange)
            begun.append(exchange)
            if self.exchanges.setdefault(request_id, exchange) is not exchange:
                self._reuse_id(exchange)
            return
        exchange_or_none = self.exchanges.get(request_id)
        if request_id == 0:
            if kind == records.GET_VALUES:
                self.write(records.values_result(content))
            else:
                self.write(records.unknown_type(kind))
        elif exchange_or_none is None:
            pass  # it was answered while this record was on its way
        elif kind == records.STDIN:
            exchange_or_none.stdin(bytes(content))
        elif kind == records.WINDOW:
            exchange_or_none.credit(records.parse_window(content))
        elif kind == records.ABORT_REQUEST:
            self._abort(exchange_or_none)

    def _abort(self, exchange: Exchange) -> None:
        try:
            self.pending.remove(exchange)
        except KeyError:
            exchange.disconnect()
            return
        # It had not begun, and now never will.
        self.exchanges.pop(exchange.id, None)
        self.end(exchange.id, records.APP_ABORTED)
        self._check_idle()

    def ended(self, exchange: Exchange) -> None:
        """The exchange's task is over, and its answer's end was written."""
        if self.exchanges.get(exchange.id) is exchange:
            del self.exchanges[exchange.id]
        else:
            self.lingering.discard(exchange)
        if self.on_idle is not None:
            self._check_idle()

    def running(self) -> list[Exchange]:
        """The requests that are not over, answered or not. On any thread."""
        return [*self.exchanges.values(), *self.lingering]

    def _check_idle(self) -> None:
        if self.on_idle is not None and not self.exchanges and not self.lingering:
            self.on_idle()

    def reclaim(self) -> list[int]:
        """Give back the requests that have not begun. On any thread.

        Taking an exchange out of `pending` is what decides who has it, and is
        atomic. A request whose body is streamed stays: some of it may be here.
        """
        ids = []
        for exchange in list(self.pending):  # list() copies a set in one step, also without the GIL
            if isinstance(exchange.body, StreamedBody):
                continue
            try:
                self.pending.remove(exchange)
            except KeyError:
                continue  # it began this moment
            self.exchanges.pop(exchange.id, None)
            ids.append(exchange.id)
        ids += self._reclaim_unread()
        if ids:
            self.loop.call_soon_threadsafe(self._check_idle, context=self.context)
        return ids

    def _reclaim_unread(self) -> list[int]:
        """Give back also those that are still in the socket: a loop that is held does not read. On any thread."""
        ids = []
        with self._lock:
            view, filled = self._view, self._filled
            while filled < len(view):
                try:
                    size = self._socket.recv_into(view[filled:])
                except OSError:
                    break  # nothing more; what is wrong with the socket the loop will find out
                if size == 0:
                    break
                filled += size
            at = kept = 0
            joined = self._head is not None  # parts of a long head are here already
            while filled - at >= 8:
                _, kind, request_id, length, padding, flags = _unpack(view, at)
                end = at + 8 + length + padding
                if end > filled:
                    break
                if kind == _REQUEST and not flags & (_MORE | _BODY) and not joined:
                    ids.append(request_id)
                else:
                    if kind == _REQUEST:
                        joined = bool(flags & _MORE)
                    view[kept : kept + end - at] = view[at:end]
                    kept += end - at
                at = end
            view[kept : kept + filled - at] = view[at:filled]
            self._filled = kept + filled - at
            if kept:
                self._kept = True
                self.loop.call_soon_threadsafe(self.read, context=self.context)
        return ids

    # Out.

    def write(self, record: Buffer) -> None:
        """Put a record (or several) into this turn's write."""
        self.out.append(record)
        if not self.corked:
            self.cork()

    def cork(self) -> None:
        """Schedule the write of what `out` gathers until then."""
        self.corked = True
        # Not in the context of the request that happens to write first: what
        # runs later, even the next requests' tasks, would inherit it.
        self.loop.call_soon(self._flush, context=self.context)

    def end(self, request_id: int, app_status: int) -> None:
        """Write END_REQUEST."""
        self.write(records.end_request(request_id, app_status))

    def write_response(self, request_id: int, head: bytes, body: memoryview, last: bool) -> bool:
        """Write a RESPONSE; reports whether it also ended the answer.

        What of body does not fit follows in STDOUT records.
        """
        size = len(head) + len(body)
        if size <= records.MAX_CONTENT:
            self.write(_pack(1, records.RESPONSE, request_id, size, 0, records.LAST if last else 0))
            self._write_piece(head)
            self._write_piece(body)
            return last
        rest = memoryview(head)
        while len(rest) > records.MAX_CONTENT:
            self.write(_pack(1, records.RESPONSE, request_id, records.MAX_CONTENT, 0, _MORE))
            self._write_piece(rest[: records.MAX_CONTENT])
            rest = rest[records.MAX_CONTENT :]
        self.write(_pack(1, records.RESPONSE, request_id, len(rest), 0, 0))
        self._write_piece(rest)
        self.write_stdout(request_id, body)
        return False

    def write_stdout(self, request_id: int, body: memoryview) -> None:
        """Write a piece of an answer's body in as many STDOUT records as it takes."""
        for at in range(0, len(body), records.MAX_CONTENT):
            piece = body[at : at + records.MAX_CONTENT]
            self.write(_pack(1, records.STDOUT, request_id, len(piece), 0, 0))
            self._write_piece(piece)

    def write_stderr(self, request_id: int, text: bytes) -> None:
        """Write text for the log in as many STDERR records as it takes."""
        for at in range(0, len(text), records.MAX_CONTENT):
            self.write(records.record(records.STDERR, request_id, text[at : at + records.MAX_CONTENT]))

    def _write_piece(self, piece: Buffer) -> None:
        if len(piece) >= _BULKY:
            self._bulky = True
        self.out.append(piece)

    def _flush(self) -> None:
        self.corked = False
        out = self.out
        if not out:
            return
        if self.blocked or self._bulky or self.lost:
            self._bulky = False
            self._backlog += out
            self._unsent += sum(map(len, out))
            out.clear()
            if not self.blocked:
                self._write_backlog()
            if self._unsent > _HIGH_WATER and self._reading:
                self._pause_reading()
            return
        data = b"".join(out)
        out.clear()
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._lose()
            return
        if sent != len(data):
            self._backlog.append(memoryview(data)[sent:])
            self._unsent = len(data) - sent
            self._block()

    def _write_backlog(self) -> None:
        """Write as much of the backlog as the kernel takes, without joining it."""
        backlog = self._backlog
        done = 0  # pieces of it that were written
        while done < len(backlog) and not self.lost:
            try:
                sent = self._socket.sendmsg(backlog[done : done + _VECTORS])
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self._lose()
                break
            self._unsent -= sent
            # Also over pieces of no bytes, such as an empty body.
            while done < len(backlog) and sent >= len(backlog[done]):
                sent -= len(backlog[done])
                done += 1
            if sent:
                backlog[done] = memoryview(backlog[done])[sent:]
        del backlog[:done]
        if self.lost:
            return
        if backlog:
            self._block()
        else:
            self._unblock()

    def _block(self) -> None:
        if not self.blocked:
            self.blocked = True
            self.loop.add_writer(self._socket, self._write_backlog)

    def _unblock(self) -> None:
        if self.blocked:
            self.blocked = False
            self.loop.remove_writer(self._socket)
            self._resume_reading()
            self._wake_drained()

    def _wake_drained(self) -> None:
        drained, self._drained = self._drained, []
        for waiter in drained:
            if not waiter.done():
                waiter.set_result(None)

    def _pause_reading(self) -> None:
        self.loop.remove_reader(self._socket)
        self._reading = False

    def _resume_reading(self) -> None:
        if not self._reading and not self._closed:
            self._reading = True
            self.loop.add_reader(self._socket, self.read)

    async def drain(self) -> None:
        """Wait until the gateway has taken what was written."""
        while self.blocked and not self.lost:
            await self.drained()

    def drained(self) -> asyncio.Future[None]:
        """A future that is done when the gateway takes bytes again; only while it is `blocked`."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._drained.append(waiter)
        return waiter

    def cancel(self) -> None:
        """Do not wait for the requests any longer."""
        for exchange in self.running():
            exchange.cancel()

    async def finish(self) -> None:
        """Write all that is left, for the end of the worker."""
        self._flush()
        await self.drain()

    def _lose(self) -> None:
        """The gateway closed its end: to every request it is as if the client left."""
        if self.lost:
            return
        self.lost = True
        self.close()
        self.blocked = False
        self.out.clear()
        self._backlog.clear()
        for exchange in (*self.exchanges.values(), *self.lingering):
            exchange.disconnect()
        self._wake_drained()
        self.on_lost()
