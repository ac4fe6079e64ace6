"""WSGI on gevent: one greenlet per request, in place of :mod:`pyspeed.threads`.

In: the loaded application and the start message, as for :func:`pyspeed.wsgi.run`. Imported only where
``workers.model`` is ``gevent``, or where the application has patched the standard library by itself.

All requests run on the main thread, whose hub reads the data socket when it turns. Where a request waits
for body or credit it waits on a lock that gevent has patched, so the others go on. Answers are written with
calls that block: the gateway always reads, so they wait for no client. The control thread is a native one and
answers also while a greenlet does not give up the thread; it then flushes what is finished and gives back what
has not begun, even if the hub has not read it yet.
"""

from __future__ import annotations

import sys
import time
from _socket import MSG_DONTWAIT, MSG_PEEK, SHUT_RD

from .connection import Connection
from .control import StartFailed, native, resident_kib
from .records import ProtocolError
from .tracebacks import summary
from .wsgi import base_environ, handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from mmap import mmap
    from typing import Any, Callable, Dict, List, Set

    from .connection import Item
    from .control import Control, Message
    from .wsgi import Application

_RECV = 131008  # bytes per read; see threads.py
_PING_WAIT = 0.02  # seconds that a ping waits for the hub to turn before it reports that it did not
_READ = 1  # of gevent's io watchers
_REMEDY = 'set workers.model = "gevent" (--model gevent)'


def patch(interface: str) -> None:
    """Patch the standard library, before the application is imported. Raises StartFailed where that cannot be."""
    if interface not in ("auto", "wsgi"):
        raise StartFailed(
            "interface",
            'cannot serve interface %s with the model "gevent": it runs on an event loop of its own; '
            'set workers.model = "threads"' % interface,
        )
    try:
        from gevent import monkey  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise StartFailed(
            "interface",
            'cannot use the model "gevent": %s; install gevent beside the application (pip install gevent), '
            'or set workers.model = "threads"' % summary(error),
        ) from None
    monkey.patch_all()


def wanted(interface: str, asked: bool) -> bool:
    """Whether the application is to run on greenlets: because of the option, or of what its import has patched.

    Raises StartFailed where patches and application do not go together.
    """
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and (eventlet.is_monkey_patched("thread") or eventlet.is_monkey_patched("socket")):
        raise StartFailed(
            "interface",
            "cannot serve the application: it has patched the standard library with eventlet, which is not supported; "
            'leave eventlet.monkey_patch() out, or use gevent and workers.model = "gevent"',
        )
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return False  # without threads gevent keeps to the thread that uses it, and any model does
    if interface != "wsgi":
        raise StartFailed(
            "interface",
            "cannot serve the application: it is ASGI, and gevent has patched the threads that its event loop needs; "
            + ('set workers.model = "threads"' if asked else "leave gevent.monkey.patch_all() out"),
        )
    if not asked:
        sys.stderr.write(
            "pyspeed: the application has patched the standard library with gevent, so its requests run on greenlets; "
            "%s to have that done before it is imported\n" % _REMEDY
        )
    return True


def run(
    app: Application,
    settings: Dict[str, Any],
    data: socket,
    marks: mmap,
    control: Control,
    ready: Callable[[Dict[str, Any]], None],
) -> int:
    """Serve ``app`` until told to stop; returns the exit code."""
    most = int(settings.get("threads") or 0)
    connection = _Connection(data)
    base = base_environ(settings, multithread=most != 1)
    make = handler
    if settings.get("errors") == "records":
        from .error_records import handler as make
    greenlets = Greenlets(connection, make(app, base, connection, marks, settings.get("root_path", "")), most)

    def ping(message: Message) -> None:
        control.send({"event": "pong", "n": message.get("n", 0), "loop_ms": greenlets.stalled_ms()})

    def stats(message: Message) -> None:
        control.send({"event": "stats", **greenlets.counts(), "rss_kib": resident_kib()})

    control.on("ping", ping)
    control.on("stats", stats)
    control.on("reclaim", lambda _: control.send({"event": "reclaimed", "ids": greenlets.reclaim()}))
    control.on("stop", lambda _: greenlets.stop())
    control.on("abandon", lambda _: greenlets.abandon())
    control.on_dump(greenlets.dump)
    ready({"threads": most, "loop": "gevent"})
    error = greenlets.run()
    if error:
        sys.stderr.write("pyspeed: the worker ends: %s\n" % error)
        return 1
    return 0


class _Connection(Connection):
    """The data socket. Its lock for writing is native, as the control thread flushes too."""

    def __init__(self, sock: socket) -> None:
        super().__init__(sock)
        self._writing = native("_thread", "allocate_lock")()


class Greenlets:
    """Runs the requests of one connection, up to ``most`` at once; 0: any number.

    ``handle(item)`` runs one request; it raises nothing. Everything runs on the main thread, except what says
    otherwise.
    """

    def __init__(self, connection: Connection, handle: Callable[[Item], None], most: int) -> None:
        import gevent  # type: ignore[import-not-found,import-untyped,unused-ignore]
        from gevent.event import Event  # type: ignore[import-not-found,import-untyped,unused-ignore]

        loop = gevent.get_hub().loop
        self._gevent = gevent
        self._connection = connection
        self._handle = handle
        self._most = most
        self._starting = 0  # greenlets that have not taken a request yet
        self._active = 0  # greenlets, those included
        self._running: Set[Any] = set()  # that run a request
        self._soon = loop.run_callback
        self._corked = False  # a flush is scheduled
        self._closed = False
        self._done = Event()
        self._error = ""
        self._incoming = loop.io(connection.sock.fileno(), _READ)
        # The control thread's: it sets one of these and wakes the hub.
        self._wake = loop.async_()
        self._abandoned = False
        self._stops = 0
        self._stops_done = 0
        self._pinged = False
        self._asked = 0.0  # when that was
        allocate = native("_thread", "allocate_lock")
        self._turn = allocate()  # free once the hub has turned since the ping
        self._turn.acquire()
        self._reading = allocate()  # guards the reading side of the connection
        connection.corked = self._cork

    def run(self) -> str:
        """Serve until the gateway closes the connection or :meth:`stop` has drained it; returns what went wrong."""
        self._wake.start(self._woken)
        self._incoming.start(self._read)
        self._done.wait()
        self._wake.stop()
        self._connection.flush()
        return self._error or self._connection.error

    # On the control thread.

    def stop(self) -> None:
        """Have :meth:`run` return once all is answered; a second time: end what still runs. Does not wait."""
        self._stops += 1
        self._wake.send()

    def abandon(self) -> None:
        """Have :meth:`run` return without waiting for the requests that run."""
        self._abandoned = True
        self._wake.send()

    def stalled_ms(self) -> int:
        """For how many milliseconds the hub has not turned; about 0 when it does."""
        if self._pinged and self._turn.acquire(False):
            self._pinged = False
        if not self._pinged:
            self._asked = time.monotonic()
            self._pinged = True
            self._wake.send()
        if self._turn.acquire(timeout=_PING_WAIT):
            self._pinged = False
        else:
            # Some greenlet holds the thread: what others have finished need not wait for it.
            self._connection.flush(wait=False)
        return int((time.monotonic() - self._asked) * 1000)

    def reclaim(self) -> List[int]:
        """Take back the requests that have not begun, those in the socket included; returns their ids."""
        ids = self._connection.reclaim()
        with self._reading:
            try:
                data = self._connection.sock.recv(_RECV, MSG_DONTWAIT)
            except OSError:
                return ids  # nothing there; what is wrong with the socket the hub will find out
            ids += self._connection.reclaim_unread(data)
        self._wake.send()
        return ids

    def counts(self) -> Dict[str, int]:
        """``active``: requests that run; ``threads``: greenlets for them."""
        return {"active": len(self._running), "threads": self._active}

    def dump(self) -> None:
        """Write where every request's greenlet stands to stderr."""
        from traceback import format_stack

        for greenlet in list(self._running):
            frame = greenlet.gr_frame
            if frame is not None:  # else it holds the thread, whose stack was written before
                sys.stderr.write("%r:\n%s" % (greenlet, "".join(format_stack(frame))))

    # In the hub, so none of these may wait.

    def _read(self) -> None:
        sock = self._connection.sock
        with self._reading:
            try:
                data = sock.recv(_RECV, MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                if sock.fileno() < 0:
                    self._incoming.stop()  # a forked child: it has no part in this
                    return
                data = b""
            if not data or not self._feed(data):
                self._close()
                return
        self._spawn()
        if self._stops_done:
            self._end_if_drained()

    def _feed(self, data: bytes) -> bool:
        try:
            self._connection.feed(data)
        except ProtocolError as error:
            self._error = str(error)
            return False
        return True

    def _woken(self) -> None:
        if self._pinged and self._turn.locked():
            self._turn.release()
        with self._reading:
            if self._connection.partial and not self._feed(b""):
                self._close()
        self._spawn()
        if self._abandoned:
            self._close()
            self._done.set()
        elif self._stops > self._stops_done:
            second = self._stops_done > 0 or self._stops > 1
            self._stops_done = self._stops
            if second:
                for greenlet in list(self._running):
                    greenlet.kill(block=False)
            self._end_if_drained()

    def _spawn(self) -> None:
        """Start a greenlet for each request that is queued, as far as there may be more."""
        count = len(self._connection.queue) - self._starting
        if self._most:
            count = min(count, self._most - self._active)
        spawn = self._gevent.spawn
        for _ in range(count):
            self._starting += 1
            self._active += 1
            spawn(self._serve)

    def _flush(self) -> None:
        self._corked = False
        self._connection.flush()

    def _close(self) -> None:
        """The socket has been read to its end."""
        self._closed = True
        self._incoming.stop()
        self._connection.abort_all()
        if not self._active:
            self._done.set()

    # In a greenlet, or the hub.

    def _serve(self) -> None:
        """Run one request."""
        self._starting -= 1
        try:
            item = self._connection.queue.popleft()
        except IndexError:
            pass  # it was taken back
        else:
            me = self._gevent.getcurrent()
            self._running.add(me)
            self._handle(item)
            self._running.discard(me)
            self._cork()
        self._active -= 1
        if self._connection.queue:
            self._spawn()
        if self._closed:
            if not self._active:
                self._done.set()
        elif self._stops_done:
            self._end_if_drained()

    def _cork(self) -> bool:
        """Have the answers that are finished in this turn leave together."""
        if not self._corked:
            self._corked = True
            self._soon(self._flush)
        return True

    def _end_if_drained(self) -> None:
        connection = self._connection
        if self._closed or self._active or connection.queue or connection.partial:
            return
        try:
            if connection.sock.recv(1, MSG_DONTWAIT | MSG_PEEK):
                return  # the hub is about to read it, and looks again
        except OSError:
            pass
        try:
            # What arrives before this is still read, and answered.
            connection.sock.shutdown(SHUT_RD)
        except OSError:
            pass
