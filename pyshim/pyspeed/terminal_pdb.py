"""pdb on the gateway's terminal: ``breakpoint()``, ``pdb.set_trace()`` and ``pdb.post_mortem()`` under ``--reload``.

In: the module ``pdb``, once the application imports it. Out: the same with other functions of these names. A session
has the terminal while it waits for commands and while it steps; ``continue``, ``quit`` and the end of what is debugged
give it back.
"""

from __future__ import annotations

import pdb
import sys

from . import terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Optional

# What calls the application, or runs its tasks and threads: nobody wants to step into it.
_SERVER = ("pyspeed", "asyncio", "concurrent", "threading", "uvloop", "anyio", "contextvars")
_SKIPPED = [pattern for name in _SERVER for pattern in (name, name + ".*")]

# Of code objects; as in the module inspect.
_CO_COROUTINE = 0x80


def adopt(module: Any) -> None:
    """Have the functions of ``pdb`` use the terminal, if this process may."""
    if terminal.mine is not None:
        module.set_trace, module.post_mortem = set_trace, post_mortem


def set_trace(*, header: Optional[str] = None, commands: Optional[Any] = None) -> None:
    """Stop in the calling function."""
    session = Session()
    if header is not None:
        session.headers.append(header)
    session.begin(sys._getframe(1))


def post_mortem(t: Optional[Any] = None) -> None:
    """Look at what a traceback, or an exception, has left."""
    if t is None:
        t = sys.exc_info()[2]
    if isinstance(t, BaseException):
        t = t.__traceback__
    if t is None:
        raise ValueError("cannot look at a traceback: none was passed, and no exception is being handled")
    session = Session()
    session.reset()
    try:
        session.interaction(None, t)
    finally:
        session.leave()


class Session(pdb.Pdb):
    """One session of pdb, from the call that began it until the debugged code goes on by itself."""

    def __init__(self) -> None:
        # Ctrl-C is the terminal's to handle: pdb would do it for the main thread only.
        super().__init__(nosigint=True, skip=_SKIPPED)
        self.headers: list[str] = []
        self._stays = False  # the last command was a step: the terminal stays
        self._last: Optional[FrameType] = None  # the outermost frame of the application

    def begin(self, frame: FrameType) -> None:
        """Stop in ``frame``."""
        self._last = _outermost(frame)
        if self._last.f_code.co_flags & _CO_COROUTINE:
            _when_task_is_done(self)
        self.set_trace(frame)

    def leave(self) -> None:
        """The debugged code goes on by itself, or has ended."""
        self._stays = False
        if terminal.mine is not None:
            terminal.mine.give_back()

    def interaction(self, *arguments: Any, **more: Any) -> None:
        """Take commands."""
        place = terminal.mine
        refused = "this process was forked" if place is None else place.take()
        if place is None or refused:
            sys.stderr.write("pyspeed: cannot stop in the debugger: %s\n" % refused)
            self.set_continue()
            return
        # As the streams may be the application's own by now.
        streams = sys.stdin, sys.stdout
        self.stdin, self.stdout = sys.__stdin__ or sys.stdin, sys.__stdout__ or sys.stdout
        sys.stdin, sys.stdout = self.stdin, self.stdout
        self._stays = False
        try:
            _import_readline()
            while self.headers:
                self.message(self.headers.pop(0))
            super().interaction(*arguments, **more)
        finally:
            sys.stdin, sys.stdout = streams
            if not self._stays:
                self.leave()

    def dispatch_return(self, frame: FrameType, arg: Any) -> Any:
        """Part of bdb."""
        answer = super().dispatch_return(frame, arg)
        if frame is self._last and not frame.f_code.co_flags & _CO_COROUTINE:
            self.end()
            return None
        return answer

    def end(self) -> None:
        """What was debugged has ended."""
        if sys.gettrace() == self.trace_dispatch:
            self.clear_all_breaks()
            self.set_continue()
            sys.settrace(None)
        self.leave()

    def set_step(self) -> None:
        """Part of bdb."""
        self._stays = True
        super().set_step()

    def set_next(self, frame: FrameType) -> None:
        """Part of bdb."""
        self._stays = True
        super().set_next(frame)

    def set_return(self, frame: FrameType) -> None:
        """Part of bdb."""
        self._stays = True
        super().set_return(frame)

    def set_until(self, frame: FrameType, lineno: Optional[int] = None) -> None:
        """Part of bdb."""
        self._stays = True
        super().set_until(frame, lineno)

    def set_continue(self) -> None:
        """Part of bdb."""
        self._stays = False
        super().set_continue()

    def do_quit(self, arg: str) -> Optional[bool]:
        """q(uit) | exit

        End the request with an error. The server goes on.
        """
        self._stays = False
        self._user_requested_quit = True
        self.set_quit()
        return True

    do_q = do_exit = do_quit

    def do_EOF(self, arg: str) -> Optional[bool]:
        """EOF

        Handles the receipt of EOF as a command.
        """
        self.message("")
        return self.do_quit(arg)


def _outermost(frame: FrameType) -> FrameType:
    """The frame of the application that the server has called on the way to this one."""
    while frame.f_back is not None and not _of_server(frame.f_back):
        frame = frame.f_back
    return frame


def _of_server(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__")
    return isinstance(name, str) and name.partition(".")[0] in _SERVER


def _when_task_is_done(session: Session) -> None:
    """End the session with the task that it began in: a coroutine's frame returns at every await."""
    if "asyncio" not in sys.modules:
        return
    import asyncio

    try:
        task = asyncio.current_task()
    except RuntimeError:
        return
    if task is not None:
        task.add_done_callback(lambda _: session.end())


def _import_readline() -> None:
    """With it, input() has a history and completes names."""
    try:
        import readline  # noqa: F401
    except ImportError:
        pass
