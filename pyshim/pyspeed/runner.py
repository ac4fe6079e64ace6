"""One of the threads that run requests, as far as the others need to know it."""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

    from .connection import Item
    from .habits import Habit


class Runner:
    """One thread's part in the play; see :mod:`pyspeed.threads`."""

    __slots__ = (
        *("lead", "gate", "ident", "native", "clock", "wall", "cpu"),
        *("item", "long", "since", "used", "admitted", "waits"),
    )

    def __init__(self) -> None:
        self.lead: List[bool] = []
        self.gate = threading.Lock()
        self.gate.acquire()
        self.ident = self.native = 0
        self.clock: Optional[int] = None  # of its CPU time, for others to read; None where the system has none
        # Seconds that slow requests took here, inline, since this thread's CPU time was ``cpu``.
        self.wall = 0.0
        self.cpu = -1.0
        self.item: Optional[Item] = None  # what it runs as the leader, or ran last
        # The request of a kind that takes long which it runs: what is known of the kind, when it began, and what CPU
        # time the thread had used then.
        self.long: Optional[Habit] = None
        self.since = self.used = 0.0
        self.waits = False  # for its client, to send or to take something
        self.admitted = False  # its next request had been put aside, and is to run now

    def begin(self) -> None:
        """On its thread, before anything else."""
        self.ident = threading.get_ident()
        self.native = threading.get_native_id()
        if hasattr(time, "pthread_getcpuclockid"):
            self.clock = time.pthread_getcpuclockid(self.ident)

    def delay(self) -> float:
        """For how many seconds in all it could have run, and did not get a core; 0 where the system does not tell."""
        try:
            with open("/proc/self/task/%d/schedstat" % self.native, "rb") as file:
                return int(file.read().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0
