"""Makes the main thread run its signal handlers, also while it waits in a system call entered just after a signal.

In: signals, by way of signal.set_wakeup_fd(). Out: SIGURG to the main thread, until it has run a handler of Python's.

Python only notes a signal when it comes, and runs its handler between two steps of the program. One that comes after
the last of these and before the system call in which the thread then waits is handled when that ends: for a server
without requests, never. Nothing is done where somebody else uses SIGURG or the wake-up descriptor, as uvloop does, and
under gevent and eventlet, whose loops look for signals by themselves.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Optional

_FIRST = 0.02  # seconds that the main thread has to see a signal by itself; each next time is twice as long
_LONGEST = 2.0


class Wakening:
    """From :meth:`begin` to :meth:`end`, both on the main thread."""

    def __init__(self) -> None:
        # The main thread has run handlers. No Event: a handler may come in the middle of its set().
        self._seen = False
        self._over = threading.Event()
        self._ends: Optional[socket.socket] = None
        self._watcher: Optional[threading.Thread] = None

    def begin(self) -> None:
        """Start the thread that waits for signals."""
        if signal.getsignal(signal.SIGURG) != signal.SIG_DFL:
            return
        if "gevent.monkey" in sys.modules or "eventlet.patcher" in sys.modules:
            return
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        previous = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        if previous != -1:
            signal.set_wakeup_fd(previous)
            ours.close()
            theirs.close()
            return
        signal.signal(signal.SIGURG, self._see)
        self._ends = theirs
        main = threading.get_ident()
        self._watcher = threading.Thread(target=self._watch, args=(ours, main), name="pyspeed-signals", daemon=True)
        self._watcher.start()

    def end(self) -> None:
        """Give back what was taken. Python's memory of the handlers that are due is not lost by that."""
        theirs, watcher = self._ends, self._watcher
        if theirs is None or watcher is None:
            return
        self._ends = self._watcher = None
        previous = signal.set_wakeup_fd(-1)
        if previous not in (-1, theirs.fileno()):
            signal.set_wakeup_fd(previous)  # somebody else's by now
        theirs.shutdown(socket.SHUT_RDWR)  # a child that was forked may have it too
        theirs.close()
        self._over.set()
        watcher.join()
        if signal.getsignal(signal.SIGURG) == self._see:
            signal.signal(signal.SIGURG, signal.SIG_DFL)

    def _see(self, number: int, frame: Optional[FrameType]) -> None:
        self._seen = True

    def _watch(self, ours: socket.socket, main: int) -> None:
        with ours:
            while True:
                numbers = ours.recv(64)
                if not numbers:
                    return
                if not numbers.strip(bytes([signal.SIGURG])):
                    continue  # our own
                self._seen = False
                patience = _FIRST
                while not self._over.wait(patience) and not self._seen:
                    signal.pthread_kill(main, signal.SIGURG)
                    patience = min(2 * patience, _LONGEST)
