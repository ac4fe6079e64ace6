"""The responder's front: accepts web servers' connections and moves bytes between them and the application's side.

In: listening sockets and the data socket. Out: nothing but what it writes to sockets. One thread, which never
runs the application and never waits for one peer: sockets are read and written when they are ready.

::

    web servers ──FastCGI 1.0──> Link ──> Request ──> Channel ──pyspeed/1──> wsgi, asgi or tornado
                <──────────────── Link <── Request <── Channel <──
"""

from __future__ import annotations

import errno
import os
import sys
import time
from _socket import AF_UNIX, IPPROTO_TCP, TCP_NODELAY, socket
from _thread import allocate_lock, get_ident, start_new_thread
from selectors import EVENT_READ as _READ
from selectors import EVENT_WRITE as _WRITE
from selectors import DefaultSelector
from signal import SIG_BLOCK, SIG_SETMASK, SIGINT, SIGTERM, pthread_sigmask, set_wakeup_fd

from ..tracebacks import trimmed
from .channel import Channel
from .link import LINGER, Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Set

    from .listener import Listener
    from .request import Limits

_STOP_SIGNALS = (bytes([SIGINT]), bytes([SIGTERM]))
# accept() failed for want of something that connections which close give back.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ACCEPT_PAUSE = 0.1  # seconds
_ACCEPTS = 64  # connections accepted in one turn
_FRESH = 1.0  # seconds that a connection without a request may still have to send one, once told to stop
_HURRY = 2.0  # seconds after the end of the graceful time until the process is ended


class Front:
    """Serves one listening socket until told to stop.

    ``stop_application(again)`` is called on the front's thread when every answer has left, and with True when the
    time for that is over; it must not wait. ``give_up()`` ends the process where the application does not, or where
    it is not to be waited for.
    """

    def __init__(
        self,
        listener: Listener,
        data: socket,
        limits: Limits,
        graceful: float,
        most: int,
        stop_application: Callable[[bool], None],
        give_up: Callable[[], None],
    ) -> None:
        self._listener = listener
        self._channel = Channel(data)
        self._limits = limits
        self._graceful = graceful
        self._most = most
        self._stop_application = stop_application
        self._give_up = give_up
        # §4.1; a request needs no connection of its own.
        self._values = {"FCGI_MAX_CONNS": str(most), "FCGI_MAX_REQS": str(most), "FCGI_MPXS_CONNS": "1"}
        self._links: Set[Link] = set()
        self._changed: Set[Link] = set()
        self._lingering: Dict[Link, float] = {}  # until when
        self._selector = DefaultSelector()
        self._channel_interest = _READ
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._accepting = False
        self._accept_again = 0.0  # when, after accept() failed; 0: now
        self._told = 0.0  # when it was logged that connections cannot be accepted
        self._full = False  # the application's side takes no more at the moment
        self._signals = 0  # that have come through the pipe
        self._handled = 0  # that Python's handler was called for
        self._stopping = 0.0  # when it began to stop; 0: not yet
        self._drained = False
        self._hurried = False
        self._ended = False
        self.recycled = False  # the application has asked for another process
        self._masks: Dict[int, Any] = {}  # signal masks of threads that fork at the moment
        self._over = allocate_lock()  # held while the thread runs

    def start(self) -> None:
        """Begin to accept."""
        os.register_at_fork(
            before=self._hold_signals, after_in_parent=self._let_signals_in, after_in_child=self._leave_to_parent
        )
        self._over.acquire()
        # Neither `threading` nor `socket`: the application may have patched these.
        start_new_thread(self._run, ())

    @property
    def wake_fd(self) -> int:
        """For signal.set_wakeup_fd(): Python's own handlers run only when the main thread gets to it."""
        return self._wake_writer

    @property
    def asked(self) -> int:
        """How often it was asked to stop. A signal may come both ways, and one of them may be closed."""
        return max(self._signals, self._handled)

    def stop(self) -> None:
        """Answer what has arrived, then stop the application; the second time: at once. For signal handlers."""
        self._handled += 1
        self._wake()

    def recycle(self) -> None:
        """Answer what has arrived, then stop the application; a signal may still follow. Any thread."""
        self.recycled = True
        self._wake()

    def close(self) -> None:
        """The application has ended: end the thread, and wait for that."""
        self._ended = True
        self._wake()
        self._over.acquire()

    def _wake(self) -> None:
        try:
            os.write(self._wake_writer, b"\0")
        except OSError:
            pass  # full, so it wakes anyway; or a forked child's, which has no part in this

    def _hold_signals(self) -> None:
        """Before a fork: a signal for the child alone would reach the parent's front through the pipe, and stop it."""
        self._masks[get_ident()] = pthread_sigmask(SIG_BLOCK, (SIGINT, SIGTERM))

    def _let_signals_in(self) -> None:
        """After a fork, on both sides."""
        pthread_sigmask(SIG_SETMASK, self._masks.pop(get_ident()))

    def _leave_to_parent(self) -> None:
        """In a forked child: with these open it would hide from web servers that the parent has closed them."""
        previous = set_wakeup_fd(-1)
        if previous != self._wake_writer:
            set_wakeup_fd(previous)  # the event loop's
        self._let_signals_in()
        for sock in [link.sock for link in self._links] + [self._channel.sock]:
            if sock.fileno() >= 0:  # not yet closed, where the front has ended
                os.close(sock.detach())
        self._listener.leave()

    # On the front's thread.

    def _run(self) -> None:
        try:
            self._selector.register(self._wake_reader, _READ, self._woken)
            self._selector.register(self._channel.sock, _READ, self._channel)
            self._accept_more(True)
            while not self._ended:
                for key, events in self._selector.select(self._timeout()):
                    self._ready(key.data, events)
                self._settle()
        except BaseException as error:
            # Nothing of the application runs here, so this is a defect; without its front the process is of no use.
            sys.stderr.write("pyspeed: cannot go on serving\n" + trimmed(error))
            self._give_up()
        finally:
            self._close()
            self._over.release()

    def _ready(self, what: Any, events: int) -> None:
        if isinstance(what, Link):
            if events & _READ:
                what.read()
            if events & _WRITE:
                self._changed.add(what)
        elif what is self._channel:
            if events & _READ and not self._channel.read():
                self._lose_application()
        else:
            what()

    def _settle(self) -> None:
        """Write what the turn has gathered, and see what has become of it."""
        self._write()
        channel = self._channel
        interest = _READ | (_WRITE if channel.blocked else 0)
        if interest != self._channel_interest:
            self._channel_interest = interest
            self._selector.modify(channel.sock, interest, channel)
        if channel.full != self._full:
            self._full = channel.full
            for link in self._links:
                self._watch(link)
        now = time.monotonic()
        for link in [link for link, until in self._lingering.items() if until <= now]:
            link.lose()
            self._look_after(link)
        if self._accept_again and self._accept_again <= now:
            self._accept_again = 0.0
            self._accept_more(True)
        if self.asked > 1:
            self._give_up()
        if (self.asked or self.recycled) and not self._stopping:
            self._begin_to_stop(now)
        if self._stopping:
            self._go_on_stopping(now)

    def _write(self) -> None:
        while self._changed:
            changed = list(self._changed)
            self._changed.clear()  # the links hold on to this very set
            for link in changed:
                if not link.closed:
                    link.flush()
                self._look_after(link)
        self._channel.flush()

    def _look_after(self, link: Link) -> None:
        """A link has changed: watch it for what it waits for now, or part with it."""
        if link.closed:
            if link in self._links:
                self._links.discard(link)
                self._changed.discard(link)
                self._lingering.pop(link, None)
                if link.interest:
                    self._selector.unregister(link.sock)
                link.sock.close()
                self._accept_more(True)
            return
        if link.lingers and link not in self._lingering:
            self._lingering[link] = time.monotonic() + LINGER
        self._watch(link)

    def _watch(self, link: Link) -> None:
        interest = _WRITE if link.blocked else 0
        if link.lingers or link.ending or not (link.paused or self._full):
            interest |= _READ
        if interest == link.interest:
            return
        if not link.interest:
            self._selector.register(link.sock, interest, link)
        elif not interest:
            self._selector.unregister(link.sock)
        else:
            self._selector.modify(link.sock, interest, link)
        link.interest = interest

    # Connections.

    def _accept_more(self, more: bool) -> None:
        wanted = more and not self._stopping and not self._accept_again and len(self._links) < self._most
        if wanted and not self._accepting:
            self._selector.register(self._listener.sock, _READ, self._accept)
        elif self._accepting and not wanted:
            self._selector.unregister(self._listener.sock)
        self._accepting = wanted

    def _accept(self) -> bool:
        """Accept what waits; False when nothing does any more."""
        for _ in range(_ACCEPTS):
            if len(self._links) >= self._most:
                self._accept_more(False)
                return False
            try:
                fd, address = self._listener.sock._accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                self._cannot_accept(error)
                return False
            sock = socket(fileno=fd)
            if not self._listener.allows(address):
                sys.stderr.write("pyspeed: refused a connection from %s: not in FCGI_WEB_SERVER_ADDRS\n" % address[0])
                sock.close()
                continue
            if sock.family != AF_UNIX:
                sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            link = Link(sock, self._channel, self._limits, self._values, self._accepts, self._changed.add)
            self._links.add(link)
            self._watch(link)
        return True

    def _cannot_accept(self, error: OSError) -> None:
        if error.errno not in _EXHAUSTED:
            return  # the connection was given up before it was accepted
        now = time.monotonic()
        if now - self._told >= 1:
            self._told = now
            sys.stderr.write("pyspeed: cannot accept a connection: %s; trying again\n" % error.strerror)
        self._accept_again = now + _ACCEPT_PAUSE
        self._accept_more(False)

    def _accepts(self) -> bool:
        return self._channel.held < self._most

    # The end.

    def _woken(self) -> None:
        try:
            data = os.read(self._wake_reader, 4096)
        except BlockingIOError:
            return
        self._signals += sum(map(data.count, _STOP_SIGNALS))

    def _timeout(self) -> Optional[float]:
        """Until something is due that no socket tells of, in seconds."""
        due = list(self._lingering.values())
        if self._accept_again:
            due.append(self._accept_again)
        if self._stopping:
            due.append(self._stopping + self._graceful + (_HURRY if self._hurried else 0))
            if any(not (link.used or link.ending) for link in self._links):
                due.append(self._stopping + _FRESH)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _begin_to_stop(self, now: float) -> None:
        while not self._accept_again and self._accept():
            pass  # who has connected may have sent a request
        self._stopping = now
        self._accept_more(False)
        self._listener.close()

    def _go_on_stopping(self, now: float) -> None:
        late = now >= self._stopping + self._graceful
        for link in list(self._links):
            if late:
                link.lose()
            elif not link.ending and (link.idle if link.used else now >= self._stopping + _FRESH):
                # What it has sent so far is served; between two requests the end of the connection tells it.
                more = link.read()
                if not more and not link.closed:
                    link.end()
        self._write()
        if not self._drained and not self._links:
            self._drained = True
            self._stop_application(False)
        if late and not self._hurried:
            self._hurried = True
            sys.stderr.write("pyspeed: stopping: not every request ended in time\n")
            self._stop_application(True)
        elif now >= self._stopping + self._graceful + _HURRY:
            sys.stderr.write("pyspeed: stopping: the application does not end; ending the process\n")
            self._give_up()

    def _lose_application(self) -> None:
        """The application's side has closed its end of the data socket: it ends, with an error or as asked."""
        self._selector.unregister(self._channel.sock)
        self._ended = True

    def _close(self) -> None:
        for link in self._links:
            link.sock.close()
        self._links.clear()
        self._listener.close()
        self._selector.close()
        self._channel.sock.close()
