"""Exceptions as text for logs and messages, without the shim's own frames."""

from __future__ import annotations

import traceback
from types import TracebackType

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
    return "".join(traceback.format_exception(type(error), error, trace))


def summary(error: BaseException) -> str:
    """The exception in one line, as a traceback's last line has it."""
    lines = "".join(traceback.format_exception_only(type(error), error)).strip().split("\n")
    return lines[-1].strip() if isinstance(error, SyntaxError) else " ".join(line.strip() for line in lines)
