"""Waiting for a condition, and giving up on a test that does not end."""

from __future__ import annotations

import faulthandler
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from .client import PATIENCE

T = TypeVar("T")


def eventually(check: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Asks until the answer is true, and returns it.

    An OSError or AssertionError from check counts as "not yet". The patience (in
    seconds) only bounds a failure; nothing is measured with it.
    """
    end = time.monotonic() + patience
    pause = threading.Event()
    last: object = None
    while True:
        try:
            result = check()
            if result:
                return result
            last = result
        except (OSError, AssertionError) as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {patience:g} s; last: {last!r}")
        pause.wait(0.02)


class TestTimeout(BaseException):
    """Raised in the main thread; not an Exception, so that nothing swallows it."""

    __test__ = False


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Ends what runs inside after that time, with the stacks of all threads on stderr."""

    def give_up(_signal: int, _frame: FrameType | None) -> None:
        faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr, all_threads=True)
        raise TestTimeout(f"the test did not end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
