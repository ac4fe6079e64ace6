"""What Ctrl-C and SIGTERM mean while :func:`pyspeed.run_app` serves.

In: signals, on the main thread. Out: the same signals, for the gateway, which is out of the terminal's reach: the first
one stops in order, a second SIGINT at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from .wakening import Wakening

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Dict, Optional

    from .launch import Gateway

# Frames of theirs stand between the application, or the shim, and a signal handler.
_BETWEEN = ("asyncio", "concurrent", "contextvars", "queue", "selectors", "threading", "uvloop")


class Interrupts:
    """SIGINT's and SIGTERM's handlers, from :meth:`install` to :meth:`restore`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._pid = os.getpid()
        self._previous: Dict[int, Any] = {}
        self._interrupts = 0
        self._wakening = Wakening()

    def install(self) -> None:
        """Take the signals over; nothing happens off the main thread, where Python lets nobody do so."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            previous = signal.getsignal(number)
            if previous is None or (number == signal.SIGINT and previous == signal.SIG_IGN):
                continue  # not Python's, or ignored on purpose, as by nohup
            self._previous[number] = previous
            signal.signal(number, self)
        self._wakening.begin()
        if sys.breakpointhook is sys.__breakpointhook__ and not os.environ.get("PYTHONBREAKPOINT"):
            sys.breakpointhook = _breakpoint

    def restore(self) -> None:
        """Give them back."""
        self._wakening.end()
        while self._previous:
            signal.signal(*self._previous.popitem())
        if sys.breakpointhook is _breakpoint:
            sys.breakpointhook = sys.__breakpointhook__

    def __call__(self, number: int, frame: Optional[FrameType]) -> None:
        if os.getpid() != self._pid:
            # A child that was forked by the application: it is not who was meant.
            signal.signal(number, self._previous.get(number, signal.SIG_DFL))
            os.kill(os.getpid(), number)
            return
        self._gateway.signal(number)
        if number != signal.SIGINT:
            return
        self._interrupts += 1
        if self._interrupts == 2 and (self._gateway.ended.is_set() or _in_application(frame)):
            raise KeyboardInterrupt
        if self._interrupts > 2:
            raise KeyboardInterrupt


def _in_application(frame: Optional[FrameType]) -> bool:
    """Whether the main thread runs the application's code, and not the shim's."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        name = module.partition(".")[0]
        # A handler of ours may be what this signal has interrupted.
        if name not in _BETWEEN and module != Wakening.__module__:
            return name != "pyspeed"
        frame = frame.f_back
    return False


def _breakpoint(*arguments: Any, **keywords: Any) -> Any:
    """breakpoint(): pdb as always, but ``continue`` does not make Ctrl-C pdb's: it ends the server."""
    if arguments or keywords:
        return sys.__breakpointhook__(*arguments, **keywords)
    import pdb

    frame = sys._getframe().f_back
    return pdb.Pdb(nosigint=True).set_trace(frame)
