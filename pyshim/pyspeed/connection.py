"""The data socket of a WSGI worker: requests in, answers out, credit both ways.

In: FastCGI records, given to :meth:`Connection.feed` by the one thread that reads at the
time. Out: requests in :attr:`Connection.queue`, body and credit in the :class:`Stream` of
their request; and answers, which any thread appends to :attr:`Connection.out` and any
thread flushes.
"""

from __future__ import annotations

import struct
import threading
from _socket import SHUT_RDWR
from collections import deque

from . import records
from .habits import Habits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Set, Tuple

    from .records import Buffer

    # request id, flags, content, and the stream when a body follows in STDIN records
    Item = Tuple[int, int, bytes, Optional["Stream"]]

# The header again, as few fields as the hot loop can do with: version and type together, and padding and flags.
_HEADER = struct.Struct("!HHHH")
_REQUEST = records.VERSION << 8 | records.REQUEST
_NOT_SIMPLE = 0xFF00 | records.BODY | records.MORE

# A body is credited once this much was read, or when the reader is about to wait.
_CREDIT_STEP = 65536
# Below this, answers are copied together: one sendall of a joined batch beats a long vector.
_COPY_LIMIT = 32768
_VECTOR = 512  # below every system's IOV_MAX


class ClientDisconnected(OSError):
    """The client left: its request's body cannot be read further, nor an answer be written."""


class Stream:
    """What is under way of one request: the body not yet read, and the credit for its answer."""

    __slots__ = ("request_id", "credit", "aborted", "ended", "_chunks", "_uncredited", "_connection", "_changed")

    def __init__(self, connection: Connection, request_id: int, credit: int, ended: bool) -> None:
        self.request_id = request_id
        self.credit = credit  # body bytes of the answer that may be sent now
        self.aborted = False
        self.ended = ended  # no more of the body will arrive
        self._chunks: Deque[Buffer] = deque()
        self._uncredited = 0
        self._connection = connection
        self._changed = threading.Condition(threading.Lock())

    def push(self, data: bytes) -> None:
        """More of the body arrived; empty: that was all (FastCGI §5.3). Called by the reader of the socket."""
        with self._changed:
            if data:
                self._chunks.append(data)
            else:
                self.ended = True
            self._changed.notify_all()

    def grant(self, credit: int) -> None:
        """Credit for the answer arrived. Called by the reader of the socket."""
        with self._changed:
            self.credit += credit
            self._changed.notify_all()

    def abort(self) -> None:
        """The client left. Wakes whoever waits."""
        with self._changed:
            self.aborted = True
            self._changed.notify_all()

    def take(self, wanted: int) -> int:
        """Up to ``wanted`` bytes of credit; waits while there is none. Raises ClientDisconnected."""
        with self._changed:
            ready = self.credit > 0 or self.aborted
        if not ready:
            self._connection.flush()
            self._connection.blocking(True)
        try:
            with self._changed:
                while self.credit <= 0 and not self.aborted:
                    self._changed.wait()
                if self.aborted:
                    raise ClientDisconnected("cannot write the answer: the client left")
                taken = min(wanted, self.credit)
                self.credit -= taken
                return taken
        finally:
            if not ready:
                self._connection.blocking(False)

    def read_into(self, target: memoryview) -> int:
        """Fill ``target`` with what is there of the body, waiting for the first byte; 0 at its end."""
        self._await_body()
        filled = 0
        size = len(target)
        with self._changed:
            while self._chunks and filled < size:
                chunk = memoryview(self._chunks[0])
                count = min(len(chunk), size - filled)
                target[filled : filled + count] = chunk[:count]
                filled += count
                if count == len(chunk):
                    self._chunks.popleft()
                else:
                    self._chunks[0] = chunk[count:]
        self._was_read(filled)
        return filled

    def read_all(self) -> bytes:
        """The rest of the body."""
        parts: List[Buffer] = []
        while True:
            self._await_body()
            with self._changed:
                count = len(parts)
                parts.extend(self._chunks)
                self._chunks.clear()
            if len(parts) == count:
                return b"".join(parts)
            self._was_read(sum(map(len, parts[count:])))

    def _await_body(self) -> None:
        with self._changed:
            ready = bool(self._chunks) or self.ended or self.aborted
        if not ready:
            # The gateway may be waiting for the credit before it sends what this waits for.
            self._give_credit()
            self._connection.flush()
            self._connection.blocking(True)
        try:
            with self._changed:
                while not (self._chunks or self.ended or self.aborted):
                    self._changed.wait()
                if self.aborted:
                    raise ClientDisconnected("cannot read the request's body: the client left")
        finally:
            if not ready:
                self._connection.blocking(False)

    def _was_read(self, count: int) -> None:
        self._uncredited += count
        if self._uncredited >= _CREDIT_STEP and not self.ended:
            self._give_credit()
            self._connection.flush()

    def _give_credit(self) -> None:
        with self._changed:
            # Once it is forgotten, which aborts it, the id may be another request's.
            if self._uncredited and not self.ended and not self.aborted:
                self._connection.out.append(records.window(self.request_id, self._uncredited))
                self._uncredited = 0


class Connection:
    """One data socket.

    ``queue`` holds the requests not yet begun: whoever takes one out with ``popleft``
    runs it, and nobody else can. ``out`` holds finished records: append with one
    ``+=`` of whole records (which is atomic), so that the records of two threads never
    mix; never replace the list.

    ``blocking`` is called before a thread waits for the socket's reader, with True, and after, ``corked``
    tells whether the calling thread will flush by itself soon. Where some requests are
    known to take long (``habits.any``), ``expect`` is called with the request that is to be
    run and its head; after True it must not be run now.
    """

    def __init__(self, sock: socket) -> None:
        self.sock = sock
        self.queue: Deque[Item] = deque()
        self.aside: Deque[Item] = deque()  # not begun either: they wait until there is time for them
        self.habits = Habits()
        self.out: List[Buffer] = []
        self.error = ""  # why writing ended, unless the gateway ended it
        self.aborted: Set[int] = set()  # ids of requests without a stream
        self.blocking: Callable[[bool], None] = lambda begins: None
        self.corked: Callable[[], bool] = lambda: False
        self.expect: Callable[[Item, Dict[str, Any]], bool] = lambda item, head: False
        self._streams: Dict[int, Stream] = {}
        self._streams_lock = threading.Lock()
        self._writing = threading.Lock()
        self._rest = b""
        self._joiner = records.Joiner()
        self._simple = _REQUEST  # what a simple request's header starts with; none is while one is being joined

    @property
    def partial(self) -> bool:
        """Whether the bytes read so far end inside a record."""
        return bool(self._rest)

    def feed(self, data: bytes) -> None:
        """Take the bytes of one read. Only the one thread that reads may call this."""
        pos = 0
        if self._rest:
            data, pos = self._join(data)
        unpack = _HEADER.unpack_from
        append = self.queue.append
        aborted = self.aborted
        simple = self._simple
        last = len(data) - records.HEADER_LENGTH
        while pos <= last:
            kind, request_id, length, flags = unpack(data, pos)
            start = pos + 8
            stop = start + length
            if kind == simple and not flags & _NOT_SIMPLE:
                if stop > last + 8:
                    break
                if aborted:
                    # Left over from an ABORT_REQUEST that crossed with the end of the id's last use.
                    aborted.discard(request_id)
                append((request_id, flags, data[start:stop], None))
                pos = stop
                continue
            if kind >> 8 != records.VERSION:
                raise records.ProtocolError("cannot read a record: version %d instead of 1" % (kind >> 8))
            end = stop + (flags >> 8)
            if end > last + 8:
                break
            self._other(kind & 0xFF, request_id, flags & 0xFF, data[start:stop])
            simple = self._simple
            pos = end
        self._rest = data[pos:]

    def flush(self, wait: bool = True) -> bool:
        """Send what is in ``out``. Any thread; a gateway that is gone is noticed by the reader.

        Without ``wait`` it does nothing, and returns False, while another thread writes.
        """
        out = self.out
        if not self._writing.acquire(wait):
            return False
        try:
            count = len(out)
            if count == 1:
                self.sock.sendall(out.pop(0))
            elif count:
                # Other threads may append meanwhile; what is there now is whole records.
                data = b"".join(out[:count])
                del out[:count]
                self.sock.sendall(data)
        except BaseException as error:
            self._broken(error)
        finally:
            self._writing.release()
        return True

    def push(self, parts: Sequence[Buffer], more_soon: bool = False) -> None:
        """Send the records in ``parts`` after what is in ``out``: at once, or, with ``more_soon``, with the batch.

        Big parts are not copied.
        """
        out = self.out
        if sum(map(len, parts)) < _COPY_LIMIT:
            out += parts
            if not (more_soon and self.corked()):
                self.flush()
            return
        with self._writing:
            count = len(out)
            vector = [b"".join(out[:count]), *parts] if count else list(parts)
            del out[:count]
            try:
                self._send_vector(vector)
            except BaseException as error:
                self._broken(error)

    def stream(self, item: Item) -> Stream:
        """The stream of a request that runs, so that credit and ABORT_REQUEST reach it; made when there is none."""
        request_id, flags, _, stream = item
        if stream is not None:
            return stream
        with self._streams_lock:
            stream = self._streams.get(request_id)
            if stream is None:
                stream = Stream(self, request_id, records.MIN_WINDOW << (flags >> 4), ended=True)
                if request_id in self.aborted:
                    self.aborted.discard(request_id)
                    stream.aborted = True
                self._streams[request_id] = stream
            return stream

    def forget(self, request_id: int) -> None:
        """The request's last record is about to be sent: its id may come again for another request."""
        if self._streams:
            with self._streams_lock:
                stream = self._streams.pop(request_id, None)
            if stream is not None and not stream.ended:
                # The rest of the body will not arrive, and who reads on must not take credit for another request.
                stream.abort()

    def reclaim(self) -> List[int]:
        """Take back the requests that have not begun; returns their ids. Any thread.

        A request whose body is being streamed stays: the part that has arrived could not be given back.
        """
        ids = []
        for queue in (self.aside, self.queue):
            for item in _copy(queue):
                if item[3] is not None or item[0] in self.aborted:
                    continue
                try:
                    queue.remove(item)
                except (ValueError, IndexError):
                    continue  # it has begun
                ids.append(item[0])
        return ids

    def take_aside(self) -> Optional[Item]:
        """Take one of the requests that were put aside: one whose client has left, or the first."""
        item = self.left_aside()
        try:
            if item is None:
                return self.aside.popleft()
            self.aside.remove(item)
            return item
        except (ValueError, IndexError):
            return None  # the control thread was faster

    def left_aside(self) -> Optional[Item]:
        """A request that was put aside and whose client has left."""
        for item in _copy(self.aside):
            if item[0] in self.aborted or (item[3] is not None and item[3].aborted):
                return item
        return None

    def reclaim_unread(self, data: bytes) -> List[int]:
        """Take back the simple requests in bytes that were read and not fed; the rest waits for the next :meth:`feed`.

        The caller sees to it that nothing is fed meanwhile.
        """
        data = self._rest + data
        ids, kept = [], []
        joining = self._simple != _REQUEST
        pos = 0
        while len(data) - pos >= records.HEADER_LENGTH:
            kind, request_id, length, flags = _HEADER.unpack_from(data, pos)
            end = pos + records.HEADER_LENGTH + length + (flags >> 8)
            if end > len(data):
                break
            if kind == _REQUEST and not flags & (records.BODY | records.MORE) and not joining:
                ids.append(request_id)
            else:
                if kind == _REQUEST:
                    joining = bool(flags & records.MORE)
                kept.append(data[pos:end])
            pos = end
        self._rest = b"".join([*kept, data[pos:]])
        return ids

    def abort_all(self) -> None:
        """Nothing more will be read: wake whoever waits for it."""
        with self._streams_lock:
            streams = list(self._streams.values())
        for stream in streams:
            stream.abort()

    def _broken(self, error: BaseException) -> None:
        """A record may be cut off, as the gateway is gone or a signal handler raised: nothing may follow it."""
        if self.sock.fileno() >= 0 and not isinstance(error, ConnectionError):
            self.error = "cannot go on writing: %r" % error
        try:
            self.sock.shutdown(SHUT_RDWR)
        except OSError:
            pass
        if not isinstance(error, OSError):
            raise error

    def _send_vector(self, vector: List[Buffer]) -> None:
        views = [memoryview(part) for part in vector if len(part)]
        while views:
            sent = self.sock.sendmsg(views[:_VECTOR])
            done = 0
            for view in views:
                if sent < len(view):
                    break
                sent -= len(view)
                done += 1
            del views[:done]
            if sent:
                views[0] = views[0][sent:]

    def _join(self, data: bytes) -> Tuple[bytes, int]:
        """Take the record that the last read has cut; returns the bytes to go on with, and where in them.

        Copying all of ``data`` for one record would make uploads dear.
        """
        rest = self._rest
        if len(rest) >= records.HEADER_LENGTH:
            kind, request_id, length, flags = _HEADER.unpack_from(rest)
            missing = records.HEADER_LENGTH + length + (flags >> 8) - len(rest)
            # Not what reclaim_unread() has left, which may be more than one record and was not looked at.
            if kind >> 8 == records.VERSION and 0 < missing <= len(data):
                content = b"".join((memoryview(rest)[records.HEADER_LENGTH :], memoryview(data)[:missing]))
                self._other(kind & 0xFF, request_id, flags & 0xFF, content[:length])
                return data, missing
        return rest + data, 0

    def _other(self, kind: int, request_id: int, flags: int, content: bytes) -> None:
        if kind == records.REQUEST:
            self._request(request_id, flags, content)
        elif kind == records.STDIN:
            stream = self._streams.get(request_id)
            if stream is not None:
                stream.push(content)
        elif kind == records.WINDOW:
            stream = self._streams.get(request_id)
            if stream is not None:
                stream.grant(records.parse_window(content))
        elif kind == records.ABORT_REQUEST:
            with self._streams_lock:
                stream = self._streams.get(request_id)
                if stream is None:
                    self.aborted.add(request_id)
            if stream is not None:
                stream.abort()
        elif kind == records.GET_VALUES:
            self.push([records.values_result(content)])
        elif request_id == 0:
            self.push([records.unknown_type(kind)])

    def _request(self, request_id: int, flags: int, content: bytes) -> None:
        whole = self._joiner.add(request_id, flags, content)
        if whole is None:
            self._simple = -1
            return
        self._simple = _REQUEST
        self.aborted.discard(request_id)
        stream = None
        if flags & records.BODY:
            # STDIN records follow at once, before any thread begins with the request.
            stream = Stream(self, request_id, records.MIN_WINDOW << (flags >> 4), ended=False)
            with self._streams_lock:
                self._streams[request_id] = stream
        self.queue.append((request_id, flags, whole, stream))


def _copy(queue: Deque[Item]) -> List[Item]:
    while True:
        try:
            return list(queue)
        except RuntimeError:  # changed meanwhile
            continue
