"""Whether somebody debugs this process: what the gateway asks before it enforces a time limit.

In: nothing. Out: a bool. Any thread; imported when it is asked for the first time. That a debugger such as gdb traces
the process the gateway sees by itself, as this one may then not answer.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Optional

# Methods of pdb and of what is derived from it (ipdb, pudb, remote and web debuggers) that wait for the developer.
_AT_THE_PROMPT = ("interaction", "cmdloop", "_cmdloop")


def debugged() -> bool:
    """Whether an editor is connected (debugpy, pydevd), a thread waits at a debugger's prompt, or one traces us."""
    return _connected() or _at_a_prompt() or _traced()


def hide() -> None:
    """Have pydevd, and so debugpy, leave the calling thread alone: it neither stops nor shows it."""
    import threading

    thread: Any = threading.current_thread()
    thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True


def _connected() -> bool:
    pydevd = sys.modules.get("pydevd")
    if pydevd is None:
        return False
    try:
        # debugpy's copy of it knows whether its client is there; that of others is there when a client is.
        if hasattr(pydevd, "_is_attached"):
            return bool(pydevd._is_attached())
        return pydevd.get_global_debugger() is not None
    except Exception:
        return False  # it is being imported, or is of a kind that nobody knows yet


def _at_a_prompt() -> bool:
    bdb = sys.modules.get("bdb")
    if bdb is None:
        return False
    for innermost in sys._current_frames().values():
        frame: Optional[FrameType] = innermost
        while frame is not None:
            if frame.f_code.co_name in _AT_THE_PROMPT and isinstance(frame.f_locals.get("self"), bdb.Bdb):
                return True
            frame = frame.f_back
    return False


def _traced() -> bool:
    try:
        with open("/proc/self/status", "rb") as file:
            return b"\nTracerPid:\t0\n" not in file.read()
    except OSError:
        return False  # not Linux
