"""WSGI (PEP 3333): requests in, the application called, answers out.

:func:`run` serves an application on the calling thread and those of
:mod:`pyspeed.threads`. What :func:`handler` returns runs one request, on any of them.
"""

from __future__ import annotations

import marshal
import sys
from contextvars import copy_context
from io import BytesIO, TextIOWrapper
from time import perf_counter

from . import records
from .connection import ClientDisconnected, Connection
from .control import resident_kib
from .threads import Threads
from .tracebacks import trimmed
from .wsgi_io import EmptyInput, ErrorStream, FileWrapper, body_input, not_iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from mmap import mmap
    from types import TracebackType
    from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Type

    from .connection import Item, Stream
    from .control import Control, Message
    from .records import Buffer

    Environ = Dict[str, Any]
    Headers = List[Tuple[str, str]]
    ExcInfo = Tuple[Type[BaseException], BaseException, Optional[TracebackType]]
    Application = Callable[[Environ, Callable[..., Callable[[bytes], None]]], Iterable[bytes]]

_VERSION = records.VERSION
_LAST = records.LAST
_MAX_CONTENT = records.MAX_CONTENT

# Seconds that a chunk may wait for the next, when the one before it has just been sent. An application that blocks
# meanwhile has it sent by the watcher, as PEP 3333's "Buffering and Streaming" asks: by a thread of its own. With
# gevent the hub sends it when it turns.
_CORK = 0.001

# What iterates over a list: all that it will give is there.
_LIST_ITERATOR: Any = type(iter([]))

# Progress of an answer.
_UNSENT, _STREAMING, _COMPLETE = 0, 1, 2


def run(
    app: Application,
    settings: Dict[str, Any],
    data: socket,
    marks: mmap,
    control: Control,
    ready: Callable[[Dict[str, Any]], None],
) -> int:
    """Serve ``app`` until told to stop; returns the exit code."""
    most = int(settings.get("threads") or settings.get("max_threads") or 64)
    connection = Connection(data)
    base = base_environ(settings, multithread=most > 1)
    make = handler
    if settings.get("errors") == "records":
        from .error_records import handler as make
    threads = Threads(connection, make(app, base, connection, marks, settings.get("root_path", "")), most)

    def ping(message: Message) -> None:
        control.send({"event": "pong", "n": message.get("n", 0), "loop_ms": threads.stalled_ms()})

    def stats(message: Message) -> None:
        control.send({"event": "stats", **threads.counts(), "rss_kib": resident_kib()})

    threads.on_full(lambda: control.send({"event": "full"}))
    control.on("ping", ping)
    control.on("stats", stats)
    control.on("reclaim", lambda _: control.send({"event": "reclaimed", "ids": threads.reclaim()}))
    control.on("stop", lambda _: threads.stop())
    control.on("abandon", lambda _: threads.abandon())
    ready({"threads": most})
    error = threads.run()
    if error:
        sys.stderr.write("pyspeed: the worker ends: %s\n" % error)
        return 1
    return 0


def base_environ(settings: Dict[str, Any], multithread: bool) -> Environ:
    """What is the same in the environ of every request."""
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": settings.get("server_name", ""),
        "SERVER_PORT": str(settings.get("server_port", "")),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": settings.get("software", "pyspeed"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": EmptyInput(),
        # A process of the user's may replace its sys.stderr at any time: a notebook, a test.
        "wsgi.errors": ErrorStream(
            sys.stderr if isinstance(sys.stderr, TextIOWrapper) and not settings.get("attached") else None
        ),
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": bool(settings.get("multiprocess")),
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
    }


class Answer:
    """One request's answer, from ``start_response`` to its last record.

    Slots and no ``__init__``, as making one per request is to cost little: :func:`handler` sets the first five.
    """

    __slots__ = ("item", "environ", "headers", "progress", "stream", "status", "_remaining", "_hurry_at")

    connection: Connection  # the class's
    item: Item
    environ: Environ
    headers: Optional[Headers]  # None: start_response was not called
    progress: int
    stream: Optional[Stream]  # None: nobody has asked for it
    status: str
    _remaining: int  # body bytes that Content-Length still allows; -1: any number

    def start_response(
        self, status: str, headers: Headers, exc_info: Optional[ExcInfo] = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's start_response."""
        if exc_info is not None or self.headers is not None:
            self._start_again(exc_info)
        self.status = status
        # A copy: the application may use its list again, for another request, before this head is sent.
        self.headers = [*headers]
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333's write: returns when the data was sent, which waits while the client is slow."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("cannot write %s: write() takes bytes" % type(data).__name__)
        self.send(bytes(data))

    @property
    def started(self) -> bool:
        """Whether bytes of it were sent."""
        return self.progress != _UNSENT

    @property
    def complete(self) -> bool:
        """Whether its last record was sent."""
        return self.progress == _COMPLETE

    def send(self, data: bytes) -> None:
        """Send body bytes, and the head before the first; waits for credit. Raises ClientDisconnected."""
        if self.progress == _COMPLETE:
            self._excess(len(data))
            return
        announced = -1
        if self.progress == _UNSENT:
            announced = _content_length(self.headers or ())
            if announced == len(data) and self.environ.get("REQUEST_METHOD") != "HEAD" and self.send_whole(data):
                return
        stream = self.stream
        if stream is None:
            stream = self.stream = self.connection.stream(self.item)
        if stream.aborted:
            raise ClientDisconnected("cannot write the answer: the client left")
        parts: List[Buffer] = []
        prefix = b""
        if self.progress == _UNSENT:
            prefix = self._head(parts)
            self.progress = _STREAMING
            if self.environ.get("REQUEST_METHOD") == "HEAD":
                # RFC 9110 §9.3.2: no content. Not LAST, so that nobody takes zero for the content's length.
                self._put(parts, prefix, b"", 0)
                self._complete(parts)
                return
            self._remaining = announced
            self._hurry_at = 0.0
        size = len(data)
        excess = 0
        if self._remaining >= 0:
            excess = max(0, size - self._remaining)
            size -= excess
            self._remaining -= size
        view: Buffer = data if not excess and size <= _MAX_CONTENT - len(prefix) else memoryview(data)[:size]
        sent = 0
        while True:
            if stream.credit <= 0 and sent < size and parts:
                self.connection.push(parts)
                parts = []
            taken = stream.take(min(size - sent, _MAX_CONTENT - len(prefix))) if sent < size else 0
            piece = view if taken == len(view) else memoryview(view)[sent : sent + taken]
            sent += taken
            if sent == size:
                break
            self._put(parts, prefix, piece, 0)
            prefix = b""
        if self._remaining:
            self._put(parts, prefix, piece, 0)
            now = perf_counter()
            soon = now < self._hurry_at
            if not soon:
                self._hurry_at = now + _CORK
            self.connection.push(parts, more_soon=soon)
            return
        # All that Content-Length announced is there, so the client has its answer: what the application
        # still does is no longer its concern.
        self._put(parts, prefix, piece, _LAST if prefix else 0)
        if prefix:
            self.progress = _COMPLETE
            self.connection.forget(self.item[0])
            self.connection.push(parts, more_soon=True)
        else:
            self._complete(parts)
        self._excess(excess)

    def send_whole(self, data: bytes) -> bool:
        """Send an answer all of whose body is ``data``, in one record; False if that cannot be, or not at once."""
        request_id, flags, _, stream = self.item
        if self.progress != _UNSENT or self.headers is None or stream is not None or self.stream is not None:
            return False
        if len(data) > min(_MAX_CONTENT, records.MIN_WINDOW << (flags >> 4)):
            return False
        prefix = encode_head(self.status, self.headers)
        length = len(prefix) + len(data)
        if length > _MAX_CONTENT:
            return False
        # The id may be another request's soon: a write() that the application kept must not reach it.
        self.progress = _COMPLETE
        header = records.HEADER.pack(_VERSION, records.RESPONSE, request_id, length, 0, _LAST)
        self.connection.push((header, prefix, data), more_soon=True)
        return True

    def whole(self, data: bytes) -> Sequence[bytes]:
        """Send an answer all of whose body is ``data``, if it can be sent at once; returns what is left to be sent."""
        announced = _content_length(self.headers or ())
        if announced in (-1, len(data)) and self.send_whole(data):
            return ()
        if announced < 0 and self.headers is not None and self.progress == _UNSENT:
            # PEP 3333: a server may say it where it knows. In one record the gateway does.
            self.headers.append(("Content-Length", str(len(data))))
        return (data,)

    def finish(self) -> None:
        """The application is done: send what is left to be sent."""
        if self.progress == _COMPLETE:
            return
        parts: List[Buffer] = []
        if self.progress == _UNSENT:
            if self.environ.get("REQUEST_METHOD") == "HEAD":
                self.send(b"")
                return
            prefix = self._head(parts)
            self._put(parts, prefix, b"", _LAST)
            self.progress = _COMPLETE
            self.connection.forget(self.item[0])
            self.connection.push(parts, more_soon=True)
        else:
            self._complete(parts, records.APP_ABORTED if self.aborted() else records.APP_COMPLETE)

    def end(self, app_status: int) -> None:
        """END_REQUEST, unless the answer is complete."""
        if self.progress != _COMPLETE:
            self._complete([], app_status)

    def aborted(self) -> bool:
        """Whether the client has left."""
        stream = self.item[3] or self.stream
        return self.item[0] in self.connection.aborted if stream is None else stream.aborted

    def _complete(self, parts: List[Buffer], app_status: int = records.APP_COMPLETE) -> None:
        self.progress = _COMPLETE
        self.connection.forget(self.item[0])
        parts.append(records.end_request(self.item[0], app_status))
        self.connection.push(parts, more_soon=True)

    def _put(self, parts: List[Buffer], prefix: bytes, data: Buffer, flags: int) -> None:
        """One record: RESPONSE when there is a head to send, else STDOUT."""
        length = len(prefix) + len(data)
        if not length:
            return  # an empty STDOUT record would end the stream (FastCGI §3.3)
        kind = records.RESPONSE if prefix else records.STDOUT
        parts.append(records.HEADER.pack(_VERSION, kind, self.item[0], length, 0, flags))
        if prefix:
            parts.append(prefix)
        if len(data):
            parts.append(data)

    def _excess(self, count: int) -> None:
        if count and self.environ.get("REQUEST_METHOD") != "HEAD":
            raise ValueError("cannot send %d more bytes: the answer's Content-Length is used up" % count)

    def _head(self, parts: List[Buffer]) -> bytes:
        """The head's bytes for the next record; what does not fit into one goes into ``parts``."""
        if self.headers is None:
            # PEP 3333: start_response must have been called before the first non-empty chunk.
            raise RuntimeError("cannot send the answer: the application did not call start_response")
        head = encode_head(self.status, self.headers)
        while len(head) > _MAX_CONTENT:
            parts.append(records.record(records.RESPONSE, self.item[0], head[:_MAX_CONTENT], records.MORE))
            head = head[_MAX_CONTENT:]
        return head

    def _start_again(self, exc_info: Optional[ExcInfo]) -> None:
        if exc_info is None:
            raise AssertionError(
                "cannot start the answer twice: start_response was called before, and without exc_info"
            )
        try:
            if self.progress != _UNSENT:
                # PEP 3333: the head is gone, so the error is the server's to end the answer with.
                raise exc_info[1].with_traceback(exc_info[2])
        finally:
            exc_info = None


def encode_head(status: Any, headers: Any) -> bytes:
    """marshal's ``(status, headers)``; a list or tuple of other things than plain pairs of str is converted first."""
    if not isinstance(status, str):
        raise TypeError("cannot send the answer: its status is %s, not str" % type(status).__name__)
    try:
        return marshal.dumps((status, headers), 2)
    except ValueError:
        pass
    fields = []
    for field in headers:
        name, value = field
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError("cannot send the answer: header %r has the value %r; both must be str" % (name, value))
        # A subclass of str, such as lazy or safe strings, is nothing that marshal knows.
        fields.append((str.__str__(name), str.__str__(value)))
    return marshal.dumps((str.__str__(status), fields), 2)


def _content_length(headers: Iterable[Tuple[str, str]]) -> int:
    for name, value in headers:
        if (
            len(name) == 14
            and name.lower() == "content-length"
            and isinstance(value, str)
            and value.isascii()
            and value.isdigit()
        ):
            return int(value)
    return -1


def respond(answer: Answer, result: Any) -> None:
    """Send what the application returned, each chunk before the next is asked for, and close it (PEP 3333)."""
    try:
        if isinstance(result, (str, bytes, bytearray)):
            not_iterable(result)
        chunks = result.blocks() if result.__class__ is FileWrapper else iter(result)
        if chunks.__class__ is _LIST_ITERATOR and _is_whole(result):
            chunks = answer.whole(b"".join(chunks))
        for chunk in chunks:
            if chunk.__class__ is not bytes:
                if not isinstance(chunk, (bytes, bytearray, memoryview)):
                    raise TypeError("cannot send the answer: a chunk is %s, not bytes" % type(chunk).__name__)
                chunk = bytes(chunk)
            if chunk:
                answer.send(chunk)
                if answer.complete and answer.environ.get("REQUEST_METHOD") == "HEAD":
                    break
        answer.finish()
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()


def _is_whole(result: Any) -> bool:
    """Whether all of an answer is there already, though it is no list: as Django says of those that do not stream."""
    # There is none as long as Django is not there, or still being imported.
    whole: Any = getattr(sys.modules.get("django.http.response"), "HttpResponse", None)
    return whole is not None and isinstance(result, whole) and not result.streaming


def fail(answer: Answer, error: BaseException) -> None:
    """The application raised: log that, and end the answer so that the client notices."""
    aborted = answer.aborted()
    environ = answer.environ
    # The target as it was sent holds no control characters, but what is logged must not depend on that.
    target = environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
    try:
        if not (aborted and _caused_by_disconnect(error)):
            errors = environ.get("wsgi.errors") or sys.stderr
            errors.write(
                "pyspeed: %s %s failed\n%s" % (environ.get("REQUEST_METHOD", "?"), _printable(target), trimmed(error))
            )
            errors.flush()
    except Exception:
        # The log being broken must not keep the thread from its next request.
        return
    finally:
        # Last, as the text may have to travel as a part of the request.
        answer.end(records.APP_ABORTED if aborted else records.APP_FAILED)


def _caused_by_disconnect(error: Optional[BaseException]) -> bool:
    seen = 0
    while error is not None and seen < 100:
        if isinstance(error, ClientDisconnected):
            return True
        error = error.__cause__ or error.__context__
        seen += 1
    return False


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii") if text.isprintable() else ascii(text)


def split_path(environ: Environ, root: str) -> None:
    """Move ``root`` from PATH_INFO, where it leads whole segments of it, to SCRIPT_NAME (RFC 3875 §4.1.13)."""
    path: str = environ.get("PATH_INFO", "")
    environ["SCRIPT_NAME"] = root
    if path == root or path.startswith(root + "/"):
        environ["PATH_INFO"] = path[len(root) :]


def handler(
    app: Application, base: Environ, connection: Connection, marks: mmap, root_path: str = ""
) -> Callable[[Item], None]:
    """The function that runs one request to its end. It raises nothing.

    The common case, a whole body and an answer in one piece, is all in here: every call less counts.
    """
    bound: Type[Answer] = type("Answer", (Answer,), {"__slots__": (), "connection": connection})
    loads, dumps, pack = marshal.loads, marshal.dumps, records.HEADER.pack
    extend = connection.out.extend
    aborted = connection.aborted
    habits = connection.habits
    new_context = copy_context().copy
    root = root_path.rstrip("/")
    response, version, last, most = records.RESPONSE, records.VERSION, records.LAST, records.MAX_CONTENT
    window = records.MIN_WINDOW
    refused: List[bool] = []

    def handle(item: Item) -> None:
        request_id, flags, content, stream = item
        answer = bound()
        answer.item = item
        answer.environ = base
        answer.headers = answer.stream = None
        answer.progress = _UNSENT
        try:
            if (aborted and request_id in aborted) or (stream is not None and stream.aborted):
                answer.end(records.APP_ABORTED)
                return
            head, body = loads(content)
            if habits.any and connection.expect(item, head):
                return
            answer.environ = environ = base | head
            if body:
                environ["wsgi.input"] = BytesIO(body)
            elif stream is not None:
                environ["wsgi.input"] = body_input(stream)
            if root:
                split_path(environ, root)
            marks[request_id] = 1
            context = new_context()
            if "HTTP_SEC_WEBSOCKET_KEY" in head:
                from .websocket_refusal import refusal

                result: Any = context.run(refusal(app, refused), environ, answer.start_response)
            else:
                result = context.run(app, environ, answer.start_response)
            kind = result.__class__
            if (kind is list or kind is tuple) and not answer.progress and answer.headers is not None:
                chunk = result[0] if len(result) == 1 else b"".join(result)
                if chunk.__class__ is bytes:
                    try:
                        prefix = dumps((answer.status, answer.headers), 2)
                    except ValueError:  # not plain pairs of str
                        prefix = encode_head(answer.status, answer.headers)
                    length = len(prefix) + len(chunk)
                    # The least window is in every window; the request's is worked out only when that is not enough.
                    if length <= window or (length <= most and len(chunk) <= window << (flags >> 4)):
                        if stream is not None or answer.stream is not None:
                            connection.forget(request_id)
                        # The id may be another request's soon: a write() that the application kept must not reach it.
                        answer.progress = _COMPLETE
                        extend((pack(version, response, request_id, length, 0, last), prefix, chunk))
                        return
                result = (chunk,)
            context.run(respond, answer, result)
        except BaseException as error:
            fail(answer, error)

    return handle
