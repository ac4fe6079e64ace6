"""Exceptions as text for logs and messages, without the shim's own frames.

The module ``traceback`` is imported when the first exception is to be shown, as most workers never
need it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Optional

_OWN = ("pyspeed", "importlib")


def own(trace: TracebackType) -> bool:
    """Whether the frame is the shim's or the import system's, and not the application's."""
    name = trace.tb_frame.f_globals.get("__name__", "")
    return isinstance(name, str) and name.partition(".")[0] in _OWN


def trimmed(error: BaseException) -> str:
    """The traceback's text without the frames of the shim and of the import system that led to the application."""
    trace = error.__traceback__
    while trace is not None and own(trace):
        trace = trace.tb_next
    try:
        from traceback import format_exception
    except Exception:  # it may be that no descriptor is left to read it with
        return _frames(trace) + _last_line(error) + "\n"
    return "".join(format_exception(type(error), error, trace))


def summary(error: BaseException) -> str:
    """The exception in one line, as a traceback's last line has it."""
    try:
        from traceback import format_exception_only
    except Exception:
        return _last_line(error)
    lines = "".join(format_exception_only(type(error), error)).strip().split("\n")
    return lines[-1].strip() if isinstance(error, SyntaxError) else " ".join(line.strip() for line in lines)


def _frames(trace: Optional[TracebackType]) -> str:
    lines = ["Traceback (most recent call last):\n"]
    while trace is not None:
        code = trace.tb_frame.f_code
        lines.append('  File "%s", line %d, in %s\n' % (code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return "".join(lines)


def _last_line(error: BaseException) -> str:
    try:
        return " ".join(("%s: %s" % (type(error).__name__, error)).split())
    except Exception:  # its __str__ raises too
        return type(error).__name__
