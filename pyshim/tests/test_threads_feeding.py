"""Bytes of the data socket are fed in the order in which they were read, however long the reader waits for a core."""

from __future__ import annotations

import socket
import threading
from typing import Any, List

from pyspeed import records
from pyspeed.connection import Connection
from pyspeed.threads import Threads


class SlowConnection(Connection):
    """Its first feed ends when told to, as that of a thread would that gets no time."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.feeding: List[int] = []
        self.most = 0

    def feed(self, data: bytes) -> None:
        self.feeding.append(1)
        self.most = max(self.most, len(self.feeding))
        try:
            if not self.began.is_set():
                self.began.set()
                assert self.go_on.wait(30)
            super().feed(data)
        finally:
            self.feeding.pop()


class Counted(Threads):
    """Counts the looks of the watcher, each of which asks for the tick."""

    looks = 0

    @property
    def _tick(self) -> float:
        self.looks += 1
        return 0.001

    @_tick.setter
    def _tick(self, value: float) -> None:
        pass


def test_nobody_overtakes_the_leader_while_it_feeds() -> None:
    ours, theirs = socket.socketpair()
    connection = SlowConnection(theirs)
    handled: List[int] = []
    seen = threading.Event()

    def handle(item: Any) -> None:
        handled.append(item[0])
        if len(handled) == 3:
            seen.set()

    threads = Counted(connection, handle, most=64)
    serving = threading.Thread(target=threads.run, daemon=True)
    serving.start()
    ours.sendall(records.record(records.REQUEST, 1, b"x" * 100) + records.record(records.REQUEST, 2, b"x" * 100)[:50])
    assert connection.began.wait(30)
    # The rest of the second request, and a third: another reader would feed them first.
    ours.sendall(records.record(records.REQUEST, 2, b"x" * 100)[50:] + records.record(records.REQUEST, 3, b"x" * 100))
    before = threads.looks
    while threads.looks < before + 20 and connection.most == 1:
        threading.Event().wait(0.001)
    connection.go_on.set()
    done = seen.wait(10)
    ours.close()
    if done:
        serving.join(10)
    assert connection.most == 1
    assert sorted(handled) == [1, 2, 3]
    theirs.close()
