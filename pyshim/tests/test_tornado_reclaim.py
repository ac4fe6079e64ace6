"""Tornado: a request that was given back to the gateway is not ours to end."""

from __future__ import annotations

import asyncio
import marshal
import mmap
import socket
from typing import Any

from tornado.web import Application

from pyspeed import records
from pyspeed.exchange import Exchange
from pyspeed.tornado_worker import TornadoConnection

SCOPE = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/"}


class Raced(TornadoConnection):
    """Gives its requests back at the very moment when ABORT_REQUEST has found one of them."""

    def _abort(self, exchange: Exchange) -> None:
        self.given_back = self.reclaim()
        super()._abort(exchange)

    def _reclaim_unread(self) -> list[int]:
        return []  # the lock is held, by the reader that this plays at


def test_abort_of_a_request_that_was_given_back() -> None:
    loop = asyncio.new_event_loop()
    ours, theirs = socket.socketpair()
    try:
        app: Any = Application()
        connection = Raced(app, ours, mmap.mmap(-1, 65536), loop, {})
        theirs.sendall(records.record(records.REQUEST, 5, marshal.dumps((SCOPE, b""), 2), 0x60))
        begun: list[Exchange] = []
        assert connection._take(begun)
        theirs.sendall(records.record(records.ABORT_REQUEST, 5))
        assert connection._take(begun)
        assert connection.given_back == [5]
        assert connection.out == [], "its id may be another request's by now"
        loop.run_until_complete(begun[0].run())
        assert connection.out == []
    finally:
        loop.close()
        ours.close()
        theirs.close()
