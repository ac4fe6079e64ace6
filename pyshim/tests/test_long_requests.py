"""Kinds of requests that take long: run beside the others at once, put aside while others compute, never lost."""

from __future__ import annotations

import marshal
import os
import socket
import sys
import threading
import time
import zlib
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest
from gateway import TIMEOUT, environ

from pyspeed import computing, records
from pyspeed.computing import Computing
from pyspeed.connection import Connection
from pyspeed.habits import Habits, shape
from pyspeed.runner import Runner
from pyspeed.threads import Threads

NEVER = 3600.0


def until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "waited in vain for " + what
        threading.Event().wait(0.001)


class Rig:
    """Threads that never take the lead from a leader by themselves; each request runs until :meth:`let` it go."""

    def __init__(self, most: int = 64, tick: float = NEVER) -> None:
        self.gateway, self._theirs = socket.socketpair()
        self.connection = Connection(self._theirs)
        self.begun: List[int] = []
        self.ended: List[int] = []
        self.given_up: List[int] = []
        self._gates: Dict[int, threading.Event] = {number: threading.Event() for number in range(1, 100)}
        self.threads = Threads(self.connection, self._handle, most, tick)
        self._serving = threading.Thread(target=self.threads.run, daemon=True)
        self._serving.start()

    def _handle(self, item: Any) -> None:
        if item[0] in self.connection.aborted:
            self.given_up.append(item[0])
            return
        head, _ = marshal.loads(item[2])
        if self.connection.habits.any and self.connection.expect(item, head):
            return
        self.begun.append(item[0])
        if head["PATH_INFO"] != "/short":
            self._gates[item[0]].wait()
        self.ended.append(item[0])

    def learn(self, path: str, computes: bool) -> None:
        assert self.connection.habits.took_long(environ(path), computes) is not None

    def send(self, *requests: str) -> None:
        """Requests ``number path``, all in one write."""
        parts = []
        for request in requests:
            number, path = request.split()
            parts.append(records.record(records.REQUEST, int(number), marshal.dumps((environ(path), b""), 4)))
        self.gateway.sendall(b"".join(parts))

    def abort(self, number: int) -> None:
        self.gateway.sendall(records.record(records.ABORT_REQUEST, number))

    def let(self, *numbers: int) -> None:
        for number in numbers:
            self._gates[number].set()

    def aside(self) -> List[int]:
        return [item[0] for item in list(self.connection.aside)]

    def look(self) -> None:
        """What the watcher does at a tick."""
        self.threads._long.look()

    def close(self) -> None:
        for gate in self._gates.values():
            gate.set()
        self.gateway.close()
        self._serving.join(TIMEOUT)
        self._theirs.close()
        assert not self._serving.is_alive()


@pytest.fixture
def rig() -> Iterator[Rig]:
    one = Rig()
    yield one
    one.close()


def full(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    monkeypatch.setattr(Computing, "full", lambda self: answer)


def test_a_kind_that_waits_is_run_beside_the_others(rig: Rig) -> None:
    """Nobody takes the lead from it here: it has passed it on before it ran."""
    rig.learn("/wait/1", computes=False)
    rig.send("1 /short", "2 /wait/2", "3 /short", "4 /wait/3", "5 /short")
    until(lambda: len(rig.begun) == 5, "all to begin")
    until(lambda: sorted(rig.ended) == [1, 3, 5], "the short ones")
    rig.let(2, 4)
    until(lambda: len(rig.ended) == 5, "all to end")


def test_one_that_computes_waits_for_the_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, True)
    rig.learn("/compute", computes=True)
    rig.send("1 /compute", "2 /compute", "3 /short", "4 /compute", "5 /short")
    until(lambda: sorted(rig.ended) == [3, 5], "the short ones")
    assert (sorted(rig.begun), rig.aside()) == ([1, 3, 5], [2, 4])
    rig.look()
    rig.send("6 /short")
    until(lambda: 6 in rig.ended, "another short one")
    assert rig.aside() == [2, 4]
    rig.let(1)
    until(lambda: 2 in rig.begun, "the next in its turn")
    assert rig.aside() == [4]
    rig.let(2, 4)
    until(lambda: len(rig.ended) == 6, "all of them")


def test_more_of_them_begin_while_there_is_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are under way may wait for something: at each look one more begins."""
    full(monkeypatch, False)
    rig.learn("/compute", computes=True)
    rig.send("1 /compute", "2 /compute", "3 /compute")
    until(lambda: rig.aside() == [2, 3], "two to be put aside")
    rig.look()
    until(lambda: sorted(rig.begun) == [1, 2], "one more")
    assert rig.aside() == [3]
    rig.look()
    until(lambda: sorted(rig.begun) == [1, 2, 3], "the last")


def test_it_is_told_that_some_wait(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, True)
    told = []
    rig.threads.on_full(lambda: told.append(rig.threads.reclaim()))
    rig.learn("/compute", computes=True)
    rig.send("1 /compute", "2 /compute", "3 /compute")
    until(lambda: rig.aside() == [2, 3], "two to be put aside")
    for _ in range(8):
        rig.look()
    assert told == [[2, 3]]
    for _ in range(80):
        rig.look()
    assert len(told) == 1, "nothing waits any more"


def test_without_a_gil_nothing_is_put_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    rig = Rig()
    try:
        rig.send("1 /short", "2 /long")
        until(lambda: 2 in rig.begun, "it to begin")
        rig.let(2)
        until(lambda: 2 in rig.ended, "it to end")
        habit = rig.connection.habits.took_long(environ("/long"), computes=False)
        assert habit is not None and not habit.computes
        assert not rig.threads._long.one_at_a_time
    finally:
        rig.close()


def test_reclaim_takes_what_was_put_aside(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, True)
    rig.learn("/compute", computes=True)
    rig.send("1 /compute", "2 /compute", "3 /compute")
    until(lambda: rig.aside() == [2, 3], "two to be put aside")
    assert rig.threads.reclaim() == [2, 3]
    rig.let(1)
    until(lambda: rig.ended == [1], "the first")
    rig.send("4 /compute")
    rig.let(4)
    until(lambda: rig.ended == [1, 4], "what comes later")
    assert rig.begun == [1, 4]


def test_one_whose_client_has_left_does_not_wait(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, True)
    rig.learn("/compute", computes=True)
    rig.send("1 /compute", "2 /compute", "3 /compute")
    until(lambda: rig.aside() == [2, 3], "two to be put aside")
    rig.abort(3)
    until(lambda: 3 in rig.connection.aborted, "it to be known")
    rig.look()
    until(lambda: rig.given_up == [3], "its end")
    rig.look()
    assert (rig.begun, rig.aside()) == ([1], [2])


def test_a_stop_waits_for_what_was_put_aside(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, True)
    rig.learn("/compute", computes=True)
    rig.send("1 /compute", "2 /compute", "3 /compute")
    until(lambda: rig.aside() == [2, 3], "two to be put aside")
    rig.threads.stop()
    rig.let(1, 2, 3)
    rig._serving.join(TIMEOUT)
    assert rig.ended == [1, 2, 3]


def test_the_end_of_the_socket_lets_what_was_put_aside_run(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, True)
    rig.learn("/compute", computes=True)
    rig.send("1 /compute", "2 /compute", "3 /compute")
    until(lambda: rig.aside() == [2, 3], "two to be put aside")
    rig.gateway.shutdown(socket.SHUT_WR)
    rig.let(1, 2, 3)
    rig._serving.join(TIMEOUT)
    assert sorted(rig.ended) == [1, 2, 3]


def test_one_thread_knows_no_habits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has stalled the only thread is not even looked at: there is no other to run anything."""
    rig = Rig(most=1, tick=0.001)
    try:
        rig.send("1 /wait", "2 /wait")
        until(lambda: rig.threads.stalled_ms() > 20, "a stall")
        assert not rig.connection.habits.any
        assert rig.begun == [1]
    finally:
        rig.close()


def test_a_stall_teaches_the_kind() -> None:
    """From the first that stalls the leader the others of its kind are run beside it."""
    rig = Rig(tick=0.001)
    try:
        rig.send("1 /items/1/report")
        until(lambda: rig.connection.habits.any, "the kind to be known")
        habit = rig.connection.habits.of(environ("/items/2/report"))
        assert habit is not None and habit.shape == "GET/items/*/report"
        assert rig.connection.habits.of(environ("/items/2")) is None
        until(lambda: not rig.threads._long.watched(), "the second look")
        assert not habit.computes
        rig.let(1)
        until(lambda: rig.ended == [1], "it to end")
    finally:
        rig.close()


class Clocks(Runner):
    """A thread's readings, as a test wants them."""

    __slots__ = ("cpu_seconds", "delayed")

    def __init__(self) -> None:
        super().__init__()
        self.cpu_seconds = self.delayed = 0.0

    def delay(self) -> float:
        return self.delayed


@pytest.mark.parametrize(
    ("cpu", "delayed", "computes"),
    [
        (0.0, 0.0, False),  # it has waited all the time
        (0.004, 0.001, False),  # and this one nearly so
        (0.0, 0.099, None),  # it got no core: nothing is known of its kind
        (0.004, 0.095, None),
        (0.006, 0.094, True),  # it got little of one, and used that
        (0.1, 0.0, True),
    ],
)
def test_what_a_suspect_has_done(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, cpu: float, delayed: float, computes: Optional[bool]
) -> None:
    """A short request whose thread got no core must not be taken for one that computes."""
    runner, long = Clocks(), rig.threads._long
    long.one_at_a_time, long._tick = True, 0.0025
    runner.ident, runner.clock = 1, 1
    runner.item = (1, 0, marshal.dumps((environ("/suspect"), b""), 4), None)
    now = 1000.0
    with monkeypatch.context() as patched, rig.threads._lock:
        patched.setattr(time, "perf_counter", lambda: now)
        patched.setattr(time, "clock_gettime", lambda clock: runner.cpu_seconds)
        long.runners[1] = runner
        assert long.suspect(runner)
        suspect = long._suspect
        assert suspect is not None
        now += 0.1
        runner.cpu_seconds, runner.delayed = cpu, delayed
        told = long._look_at_suspect(*suspect)
        long._suspect = None
        long._computing.remove(runner)
        del long.runners[1]
    habit = rig.connection.habits.of(environ("/suspect"))
    assert habit is not None
    assert told == (computes is not None)
    assert habit.computes == bool(computes)
    assert habit.left == (4 if computes is None else 100)


# --- what is known ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("GET/", "GET/"),
        ("GET", "GET"),
        ("GET/items/17", "GET/items/*"),
        ("POST/items/17/photos/a3f9", "POST/items/*/photos/*"),
        ("GET/about", "GET/about"),
        ("GET/caf\xc3\xa9", "GET/*"),
        ("GET/" + "x" * 41, "GET/*"),
        ("GET//", "GET//"),
    ],
)
def test_shape(name: str, kind: str) -> None:
    assert shape(name) == kind


def test_a_habit_is_forgotten_when_its_requests_are_short() -> None:
    habits = Habits()
    assert habits.of(environ("/a")) is None
    habit = habits.took_long(environ("/a"), computes=True)
    assert habit is not None and habits.any
    assert habits.of(environ("/a")) is habit
    for _ in range(99):
        habits.took(habit, long=False, computed=False)
    assert habits.of(environ("/a")) is habit and habit.computes
    habits.took(habit, long=True, computed=False)
    assert not habit.computes
    for _ in range(100):
        habits.took(habit, long=False, computed=False)
    assert habits.of(environ("/a")) is None
    assert not habits.any
    habits.took(habit, long=False, computed=False)  # one that was still under way


def test_what_may_only_have_got_no_core_is_forgotten_soon() -> None:
    habits = Habits()
    habit = habits.took_long(environ("/a"), computes=False, sure=False)
    assert habit is not None
    for _ in range(4):
        assert habits.of(environ("/a")) is habit
        habits.took(habit, long=False, computed=False)
    assert habits.of(environ("/a")) is None


def test_no_more_than_so_many_kinds_are_kept() -> None:
    habits = Habits()
    kinds: List[Optional[Any]] = [
        habits.took_long(environ("/" + chr(97 + n % 26) * (1 + n // 26)), False) for n in range(300)
    ]
    assert kinds.index(None) == 256
    assert all(kind is None for kind in kinds[256:])
    for n in range(10000):
        habits.of(environ("/%d/%d" % (n, n)))
    assert len(habits._names) <= 4096


def test_what_needs_no_gil_is_said_to_wait() -> None:
    """Seen once it may have been a system call."""
    habits = Habits()
    habit = habits.took_long(environ("/a"), computes=True)
    assert habit is not None and habit.computes
    for seen, computes in ((1, True), (1, True), (1, False), (0, True), (1, False), (1, False), (0, False)):
        habits.saw(habit, bool(seen))
        habits.took(habit, long=True, computed=True)
        assert habit.computes == computes, (seen, computes)


# --- who computes ----------------------------------------------------------------------------


class Busy:
    """A thread that does something again and again."""

    def __init__(self, what: Callable[[], Any]) -> None:
        self.runner = Runner()
        self._over = False
        begun = threading.Event()

        def run() -> None:
            self.runner.begin()
            begun.set()
            while not self._over:
                what()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        begun.wait()

    def end(self) -> None:
        self._over = True
        self._thread.join()


def compute() -> None:
    total = 0
    for n in range(1000):
        total += n * n


def look(measured: Computing, times: int) -> bool:
    answer = True
    measured.opened = time.perf_counter()
    for _ in range(times):
        threading.Event().wait(0.005)
        answer = measured.full()
    return answer


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where threads wait for cores only Linux tells")
with_gil = pytest.mark.skipif(not computing.one_at_a_time(), reason="this interpreter runs several threads at once")


@linux
@with_gil
def test_the_interpreter_is_full_while_one_computes() -> None:
    before = sys.getswitchinterval()
    measured, busy, waits = Computing(), Busy(compute), Busy(lambda: time.sleep(0.01))
    try:
        measured.add(busy.runner)
        measured.add(waits.runner)
        assert sys.getswitchinterval() < before
        until(lambda: look(measured, 20), "a full interpreter")
        measured.remove(busy.runner)
        busy.end()
        until(lambda: not look(measured, 20), "time for more")
        measured.remove(waits.runner)
        assert sys.getswitchinterval() == before
    finally:
        busy.end()
        waits.end()
        sys.setswitchinterval(before)


def test_it_is_never_full_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "_PATIENCE", 0.05)
    measured = Computing()
    measured.opened = time.perf_counter()
    until(lambda: not measured.full(), "patience to end")


def test_the_applications_own_interval_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sys.getswitchinterval()
    try:
        for mine in (0.0001, 0.02):
            measured, runner = Computing(), Runner()
            if mine < 0.0005:
                sys.setswitchinterval(mine)  # less already
                measured.add(runner)
            else:
                measured.add(runner)
                sys.setswitchinterval(mine)  # meanwhile
            assert sys.getswitchinterval() == pytest.approx(mine)
            measured.remove(runner)
            measured.remove(runner)
            assert sys.getswitchinterval() == pytest.approx(mine)
    finally:
        sys.setswitchinterval(before)


@linux
@with_gil
def test_who_computes_without_the_gil() -> None:
    data = bytes(range(256)) * 4000
    with_it, without = Busy(compute), Busy(lambda: zlib.compress(data, 9))
    try:
        if len(os.sched_getaffinity(0)) > 1:
            until(lambda: computing.without_gil(without.runner), "a thread that needs no GIL")
        # Rarely the GIL changes hands twice while it looks; Habits.saw() asks for more than one sight.
        assert sum(computing.without_gil(with_it.runner) for _ in range(200)) < 40
    finally:
        for one in (with_it, without):
            one.end()
    for one in (with_it, without):
        assert not computing.without_gil(one.runner), "its thread is gone"
