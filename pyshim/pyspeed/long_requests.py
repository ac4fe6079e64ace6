"""Requests of kinds that take long: run beside the others from their start, or put aside for a while.

In: requests about to be run whose kind (:mod:`pyspeed.habits`) takes long, and leaders that have stalled. Out: the lead
is passed on before they run; of those that compute (:mod:`pyspeed.computing`) only as many begin at once as the
interpreter has time for, the others wait in ``connection.aside``. Short requests are never put aside.

Belongs to :class:`~pyspeed.threads.Threads`, which names the thread for each method.
"""

from __future__ import annotations

import marshal
import threading
import time

from .computing import Computing, one_at_a_time, without_gil

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

    from .connection import Connection, Item
    from .runner import Runner

_LOOKS_FULL = 8  # looks after which it is told again that some wait
_LOOKS_FREE = 16  # looks at what computes, until it is found out again whether that needs the GIL


class LongRequests:
    """Those of one connection.

    ``lock`` is that of the threads. With it held, ``pass_lead()`` gives the lead to another thread, ``wake()`` has a
    thread look for :attr:`openings`, and ``notice()`` has the watcher call :meth:`look` for as long as :meth:`watched`.
    """

    def __init__(
        self,
        connection: Connection,
        lock: threading.Lock,
        tick: float,
        pass_lead: Callable[[], None],
        wake: Callable[[], None],
        notice: Callable[[], None],
    ) -> None:
        self.one_at_a_time = one_at_a_time()
        self.full: Callable[[], None] = lambda: None  # called when some wait for others to end, now and again
        # All below: under the lock.
        self.openings = 0  # how many of those that are put aside may begin: 0 or 1
        self.runners: Dict[int, Runner] = {}  # all, by the ident of their threads
        self.closed = False  # nothing is put aside any more
        self._connection = connection
        self._lock = lock
        self._tick = tick
        self._pass_lead, self._wake, self._notice = pass_lead, wake, notice
        self._computing = Computing()
        self._looks = 0
        # The last that lost the lead to the watcher: with what, since when, and its clocks' readings then.
        self._suspect: Optional[Tuple[Runner, Item, Any, float, float, float]] = None

    def expect(self, item: Item, head: Dict[str, Any]) -> bool:
        """Prepare for a request that this thread is about to run, if its kind takes long. On a runner's thread.

        True: it is put aside, as others compute; it will be run later.
        """
        habit = self._connection.habits.of(head)
        if habit is None:
            return False
        me = self.runners[threading.get_ident()]
        with self._lock:
            if habit.computes:
                if self._computing and not me.admitted and not self.closed:
                    if not self._connection.aside:
                        self._computing.opened = time.perf_counter()
                    self._connection.aside.append(item)
                    self._notice()
                    return True
                self._computing.add(me)
            me.long = habit
            if me.lead:
                self._pass_lead()
        me.since, me.used = time.perf_counter(), time.thread_time()
        return False

    def take(self, me: Runner) -> Optional[Item]:
        """A request that was put aside, for the calling thread to run, if one may begin."""
        with self._lock:
            if not self.openings:
                return None
            self.openings = 0
            me.admitted = True
            return self._connection.take_aside()

    def ended(self, me: Runner) -> None:
        """The request for which this thread has lost the lead, or does not have it, has ended."""
        now = time.perf_counter()
        with self._lock:
            me.item = None
            me.admitted = False
            habit, me.long = me.long, None
            self._computing.remove(me)
            if not self._computing and self._connection.aside:
                self.open()  # which this very thread takes
        if habit is not None:
            took = now - me.since
            used = time.thread_time() - me.used
            long = took > 4 * self._tick
            computed = self.one_at_a_time and used > 4 * self._tick and used > took / 10
            if long or took < self._tick:  # in between it may just have got no core for a while
                self._connection.habits.took(habit, long, computed)

    # Under the lock.

    def open(self) -> None:
        """Let one of the requests that are put aside begin."""
        self.openings = 1
        self._computing.opened = time.perf_counter()

    def forget(self, runner: Runner) -> None:
        """A thread ends."""
        del self.runners[runner.ident]
        self._computing.remove(runner)

    def watched(self) -> bool:
        """Whether the watcher has to look, also when there is nothing else for it to do."""
        return self._suspect is not None or bool(self._connection.aside)

    # On the watcher's thread.

    def suspect(self, runner: Runner) -> bool:
        """Note the kind of the request that a leader has stalled with; False where that is no use. Under the lock."""
        item = runner.item
        if item is None:
            return False
        try:
            head = marshal.loads(item[2])[0]
            if self._connection.habits.took_long(head, computes=False, sure=False) is None:
                return False
        except (ValueError, EOFError, TypeError, KeyError):
            return False
        if self.one_at_a_time and runner.clock is not None:
            used = time.clock_gettime(runner.clock)
            self._suspect = (runner, item, head, time.perf_counter(), used, runner.delay())
        return True

    def look(self) -> None:
        """Look at the suspect, and at what was put aside. Once every tick while it is :meth:`watched`."""
        if self._suspect is None and not self._connection.aside:
            return
        full = False
        with self._lock:
            if self._suspect is not None and self._look_at_suspect(*self._suspect):
                self._suspect = None
            if self._connection.aside:
                full = not self._look_at_aside() and self._looks % _LOOKS_FULL == 0
        if full:
            self.full()

    def _look_at_suspect(self, runner: Runner, item: Item, head: Any, since: float, used: float, delay: float) -> bool:
        """What the thread that lost the lead has done since: computed, waited, or come to an end.

        False: it cannot be told yet, as it has got no core for most of the time. Then its kind may well be short.
        """
        if runner.item is not item or runner.clock is None or runner.ident not in self.runners:
            return True
        passed = time.perf_counter() - since
        cpu = time.clock_gettime(runner.clock) - used
        waited = passed - cpu - max(0.0, runner.delay() - delay)
        computes = cpu > 2 * self._tick
        if not computes and waited < passed / 2:
            return False
        runner.long = self._connection.habits.took_long(head, computes)
        runner.since, runner.used = since, used
        if computes:
            self._computing.add(runner)
        return True

    def _look_at_aside(self) -> bool:
        """Have one more begin, if there is time for it."""
        computing = self._computing
        self._looks += 1
        if self._looks % _LOOKS_FREE == 0:
            for runner in computing.runners:
                if runner.long is not None:
                    self._connection.habits.saw(runner.long, without_gil(runner))
        full = computing.full()
        if self.openings or (full and (not self._connection.aborted or self._connection.left_aside() is None)):
            return False
        self.open()
        self._wake()
        return True
