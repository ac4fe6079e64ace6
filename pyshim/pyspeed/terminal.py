"""The gateway's terminal, for as long as a debugger of this worker needs it.

In: :meth:`Terminal.take` on the thread that stands in a debugger. Out: descriptors 0 and 1 are the terminal, whose
foreground job this process is, until :meth:`Terminal.give_back`. Only under ``--reload``, where the gateway was started
from a terminal; imported there alone.

One debugger at a time: threads of one process take turns by a lock, processes by ``flock`` on the terminal, which the
system undoes for a process that dies. The gateway then makes itself the foreground job again.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from _thread import allocate_lock, get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, List, Optional

    from .control import Control

# The terminal of this process; None: it has none to offer.
mine: Optional[Terminal] = None

_INPUT, _OUTPUT = 0, 1


def offer(control: Control, group: int) -> None:
    """Let debuggers have the terminal whose foreground job is the process group ``group``. On the main thread."""
    global mine
    mine = Terminal(control, group)
    signal.signal(signal.SIGINT, mine.interrupted)
    os.register_at_fork(after_in_child=_withdraw)
    if "pdb" in sys.modules:
        from . import terminal_pdb

        terminal_pdb.adopt(sys.modules["pdb"])


def _withdraw() -> None:
    """In a child that the application forked: the terminal is the parent's to ask for."""
    global mine
    mine = None


class Terminal:
    """Takes and gives back. Any thread may ask; the thread that has it asks again in vain."""

    def __init__(self, control: Control, group: int) -> None:
        self._control = control
        self._group = group
        self._main = get_ident()
        self._turn = allocate_lock()
        self._counting = allocate_lock()
        self._debuggers = 0  # threads that stand in a debugger, or wait for their turn
        self._owner = 0  # the thread that has it
        self._descriptor = -1  # of the terminal, while somebody has it
        self._saved: List[int] = []  # what 0 and 1 were
        self._attributes: List[Any] = []

    def mine(self) -> bool:
        """Whether the calling thread has it."""
        return self._owner == get_ident()

    def take(self) -> str:
        """Wait for my turn and take it; returns why that cannot be, or ""."""
        if self.mine():
            return ""
        self._count(1)
        self._turn.acquire()
        try:
            self._open()
        except Exception as error:  # termios has one of its own
            self._close()
            self._turn.release()
            self._count(-1)
            return getattr(error, "strerror", None) or str(error)
        self._owner = get_ident()
        return ""

    def give_back(self) -> None:
        """The debugged code goes on by itself. Nothing happens where the calling thread does not have it."""
        if not self.mine():
            return
        self._owner = 0
        self._close()
        self._turn.release()
        self._count(-1)

    def interrupted(self, signum: int, frame: Optional[FrameType]) -> None:
        """SIGINT's handler: Ctrl-C is for the code that is being debugged, if any is. On the main thread."""
        if self._owner == self._main:
            raise KeyboardInterrupt
        if self._owner:
            error = ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._owner), error)

    def _count(self, change: int) -> None:
        with self._counting:
            before, self._debuggers = self._debuggers, self._debuggers + change
            if bool(before) != bool(self._debuggers):
                self._control.send({"event": "debugger", "on": bool(self._debuggers)})

    def _open(self) -> None:
        import fcntl
        import termios

        tty = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        # By its name, as /dev/tty is one file for all terminals.
        self._descriptor = os.open(os.ttyname(tty), os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        os.close(tty)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        if os.tcgetpgrp(self._descriptor) != self._group:
            raise OSError(0, "the terminal is another job's at the moment; bring pyspeed-gw to the foreground (fg)")
        self._attributes = termios.tcgetattr(self._descriptor)
        ours = termios.tcgetattr(self._descriptor)
        for key in (termios.VSUSP, termios.VQUIT):
            ours[6][key] = b"\0"  # the shell knows nothing of this process: nobody could have it go on
        self._as_foreground(os.getpgrp())
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, ours)
        sys.stdout.flush()
        self._saved = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10) for number in (_INPUT, _OUTPUT)]
        for number in (_INPUT, _OUTPUT):
            os.dup2(self._descriptor, number)

    def _close(self) -> None:
        import termios

        if self._descriptor < 0:
            return
        if self._saved:
            sys.stdout.flush()
            for number, saved in zip((_INPUT, _OUTPUT), self._saved):
                os.dup2(saved, number)
                os.close(saved)
            self._saved = []
            try:
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._attributes)
                if os.tcgetpgrp(self._descriptor) == os.getpgrp():
                    self._as_foreground(self._group)
            except (OSError, termios.error):
                pass  # the terminal is gone
        os.close(self._descriptor)
        self._descriptor = -1

    def _as_foreground(self, group: int) -> None:
        """Make a process group the terminal's foreground job. From the background that takes the signal to be off."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
        try:
            os.tcsetpgrp(self._descriptor, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
