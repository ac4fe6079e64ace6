"""Requests that compute: how many of them run at once in a process whose interpreter runs one thread at a time.

In: the threads that run such requests, by the clocks of their CPU time. Out: whether one more would find the
interpreter free. All of this is for interpreters with a GIL; without one no request waits here.

A thread that computes gives the GIL away every ``sys.getswitchinterval()``, to whoever asks for it, one after the
other. So a short request, whose thread asks twice or so, waits for all that compute, each time. Running them one
by one instead makes none of them later than the last would be, and the short ones wait for one. But most requests that
compute also wait, for a database, and meanwhile the next one is to run: so what counts is not how many there are, but
whether the interpreter has time left.
"""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

    from .runner import Runner

# Share of the time that the interpreter computes, or waits for a core, above which no more is begun.
_FULL = 0.85
_SMOOTH = 0.25  # weight of the last look
# Seconds after which one more is begun all the same: some may compute for ever.
_PATIENCE = 2.0
# While requests compute, whoever asks for the GIL gets it after so many seconds instead of 5 ms.
_SWITCH = 0.0005
_WATCHED = 40e-6  # seconds that the GIL is held to find out whether a thread computes without it


class Computing:
    """The threads of one process that run requests which compute. All methods under the lock of the caller."""

    def __init__(self) -> None:
        self.runners: Dict[Runner, float] = {}  # CPU time and waits for a core, in seconds, at the last look
        self._looked = 0.0
        self._used = 0.0  # CPU seconds of the process at that time
        self._load = 1.0
        self.opened = 0.0  # when one of those that wait was begun, or began to wait
        self._switch = 0.0  # what the interval was; 0: it was not changed

    def __len__(self) -> int:
        return len(self.runners)

    def add(self, runner: Runner) -> None:
        """A thread begins, or was found to compute."""
        if not self.runners:
            self._load = 1.0
            self._looked = 0.0
            interval = sys.getswitchinterval()
            if interval > _SWITCH:
                self._switch = interval
                sys.setswitchinterval(_SWITCH)
        self.runners[runner] = runner.delay()

    def remove(self, runner: Runner) -> None:
        """It has ended."""
        if self.runners.pop(runner, None) is not None and not self.runners and self._switch:
            if abs(sys.getswitchinterval() - _SWITCH) < 1e-6:  # else the application has changed it
                sys.setswitchinterval(self._switch)
            self._switch = 0.0

    def full(self) -> bool:
        """Whether the interpreter has no time for one more. To be asked often: it compares with the last time."""
        now, used = time.perf_counter(), time.process_time()
        delayed = 0.0
        for runner, before in self.runners.items():
            self.runners[runner] = delay = runner.delay()
            delayed += max(0.0, delay - before)
        if self._looked:
            share = (used - self._used + delayed) / max(1e-6, now - self._looked)
            self._load += (min(share, 1.0) - self._load) * _SMOOTH
        self._looked, self._used = now, used
        if now - self.opened > _PATIENCE:
            return False
        return self._load > _FULL


def without_gil(runner: Runner) -> bool:
    """Whether a thread computes while this one holds the GIL."""
    clock = runner.clock
    if clock is None:
        return False
    try:
        read, now = time.clock_gettime, time.perf_counter
        began, used = now(), read(clock)
        while now() - began < _WATCHED:
            pass
        used = read(clock) - used
        # Where this took longer, another thread had the GIL meanwhile.
        return used > _WATCHED / 2 and now() - began < 2 * _WATCHED
    except OSError:
        return False  # it has ended


def one_at_a_time() -> bool:
    """Whether the interpreter runs one thread at a time."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    return enabled is None or bool(enabled())
