"""Signals that the main thread would sleep through.

One that another thread takes leaves the main thread in its system call, as one does that comes just before the call.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
from typing import Iterator, List

import pytest

from pyspeed.interrupt import _in_application
from pyspeed.wakening import Wakening


@pytest.fixture
def released() -> Iterator[threading.Lock]:
    """A lock that SIGUSR1's handler releases."""
    lock = threading.Lock()
    lock.acquire()
    previous = signal.signal(signal.SIGUSR1, lambda number, frame: lock.release())
    yield lock
    signal.signal(signal.SIGUSR1, previous)


def _signal_elsewhere() -> threading.Thread:
    def itself() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    thread = threading.Timer(0.05, itself)
    thread.start()
    return thread


def test_main_thread_wakes_for_its_handlers(released: threading.Lock) -> None:
    wakening = Wakening()
    wakening.begin()
    try:
        for _ in range(3):
            thread = _signal_elsewhere()
            assert released.acquire(timeout=30)
            thread.join()
    finally:
        wakening.end()


def test_gives_back_what_it_took() -> None:
    before = threading.active_count()
    wakening = Wakening()
    wakening.begin()
    assert threading.active_count() == before + 1
    (watcher,) = [thread for thread in threading.enumerate() if thread.name == "pyspeed-signals"]
    wakening.end()
    assert not watcher.is_alive()
    assert signal.set_wakeup_fd(-1) == -1
    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL
    wakening.end()  # which is nothing any more


def test_leaves_alone_what_others_use() -> None:
    seen: List[int] = []

    def handler(number: int, frame: object) -> None:
        seen.append(number)

    signal.signal(signal.SIGURG, handler)
    try:
        wakening = Wakening()
        wakening.begin()
        wakening.end()
        assert signal.getsignal(signal.SIGURG) == handler
    finally:
        signal.signal(signal.SIGURG, signal.SIG_DFL)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        try:
            wakening = Wakening()
            wakening.begin()
            wakening.end()
        finally:
            assert signal.set_wakeup_fd(-1) == theirs.fileno()


def test_a_signal_in_its_handler_came_to_who_was_interrupted() -> None:
    names = {"__name__": Wakening.__module__, "sys": sys}
    exec("def handler(look): return look(sys._getframe())", names)
    assert names["handler"](_in_application)  # type: ignore[operator]
