"""One connection with a web server: bytes in, requests and their answers, bytes out.

Runs on the front's thread; nothing here waits. A web server that does not take its answers fills its own
queue only, up to the windows of its own requests.
"""

from __future__ import annotations

import sys
from _socket import SHUT_WR
from collections import deque

from ..records import ProtocolError
from . import codec
from .request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Callable, Deque, Dict, Optional, Set, Tuple

    from ..records import Buffer
    from .channel import Channel
    from .request import Limits

_RECEIVE = 131072  # bytes read at once
_VECTOR = 64  # pieces written at once
# How long what a web server still sends is read after the last answer, in seconds: to close a socket with unread
# bytes resets the connection, and the server might lose the answer.
LINGER = 2.0


class Link:
    """One connection. ``accepts()`` tells whether one more request may begin; ``changed(link)`` is called when
    there is something to flush."""

    def __init__(
        self,
        sock: socket,
        channel: Channel,
        limits: Limits,
        values: Dict[str, str],
        accepts: Callable[[], bool],
        changed: Callable[[Link], None],
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.requests: Dict[int, Request] = {}
        self.used = False  # a request has begun on it
        self.blocked = False  # the web server does not take our bytes at the moment
        self.paused = False  # nothing is to be read from it
        self.closed = False  # to be closed at once
        self.ending = False  # to be closed when all is sent
        self.lingers = False  # everything is sent; what comes is dropped
        self.unsent = 0  # bytes
        self.interest = 0  # what the front's selector watches; the front's
        self._keep = False
        self._incoming = codec.Incoming(values)
        self._channel = channel
        self._limits = limits
        self._accepts = accepts
        self._changed = changed
        self._out: Deque[Tuple[Buffer, Optional[Request], int]] = deque()

    @property
    def idle(self) -> bool:
        """Whether there is nothing under way on it."""
        return not (self.requests or self._out or self._incoming.partial)

    # In.

    def read(self) -> bool:
        """Read once; False when there was nothing."""
        try:
            data = self.sock.recv(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            # A server that closed its direction only is gone too, as one that lost its client is not told apart.
            self.lose()
            return False
        if not self.lingers and not self.ending:
            self._feed(data)
        return True

    def _feed(self, data: bytes) -> None:
        touched: Set[Request] = set()
        try:
            for what, request_id, value in self._incoming.feed(data):
                if self.ending:
                    break
                if what == codec.REPLY:
                    self.send(value)
                elif what == codec.BEGIN:
                    self._begin(request_id, value)
                elif what == codec.REFUSED:
                    self._turn_away(request_id, value, codec.UNKNOWN_ROLE)
                else:
                    request = self.requests.get(request_id)
                    if request is None:
                        continue
                    if what == codec.HEAD:
                        request.head(value)
                    elif what == codec.BODY:
                        request.body(value)
                    else:
                        request.abort()
                    touched.add(request)
        except ProtocolError as error:
            sys.stderr.write("pyspeed: a web server's connection is closed: %s\n" % error)
            self.lose()
        for request in touched:
            # Once for all that was read: a small body then travels with the head.
            request.advance()

    def _begin(self, request_id: int, keep: bool) -> None:
        if not self._accepts():
            self._incoming.end(request_id)
            self._turn_away(request_id, keep, codec.OVERLOADED)
            return
        self.used = True
        self._keep = keep
        self.requests[request_id] = Request(self, request_id, self._channel, self._limits)

    def _turn_away(self, request_id: int, keep: bool, status: int) -> None:
        self.send(codec.end_request(request_id, 0, status))
        self._keep = keep
        if not keep and not self.requests:
            self.end()

    def pause(self, paused: bool) -> None:
        """Whether the web server has to wait with what it still has to send."""
        if paused != self.paused:
            self.paused = paused
            self._changed(self)

    # Out.

    def send(self, data: Buffer, request: Optional[Request] = None, credit: int = 0) -> None:
        """Put a record into the next write; ``request`` is told when ``credit`` bytes of its body left with it."""
        if self.ending or self.closed:
            return
        self._out.append((data, request, credit))
        self.unsent += len(data)
        self._changed(self)

    def leave(self, request: Request) -> None:
        """The request is over here."""
        self._incoming.end(request.id)
        self.requests.pop(request.id, None)
        self.pause(False)
        if not self.requests and not self._keep:
            self.end()

    def end(self) -> None:
        """Close when all is sent."""
        self.ending = True
        self._changed(self)

    def lose(self) -> None:
        """The web server is gone, or of no use: close at once."""
        if self.closed:
            return
        self.closed = True
        self._out.clear()
        self.unsent = 0
        for request in list(self.requests.values()):
            request.lost()
        self._changed(self)

    def flush(self) -> None:
        """Write as much as the socket takes."""
        out = self._out
        touched: Set[Request] = set()
        self.blocked = False
        while out and not self.blocked and not self.closed:
            pieces = [piece[0] for piece in _first(out)]
            try:
                sent = self.sock.sendmsg(pieces)
            except (BlockingIOError, InterruptedError):
                self.blocked = True
                break
            except OSError:
                self.lose()
                break
            self.unsent -= sent
            while out and sent >= len(out[0][0]):
                data, request, credit = out.popleft()
                sent -= len(data)
                if request is not None:
                    request.taken(credit)
                    touched.add(request)
            if sent:
                data, request, credit = out.popleft()
                out.appendleft((memoryview(data)[sent:], request, credit))
                self.blocked = True
        if not out:
            for request in touched:
                request.grant()
            if self.ending and not self.closed and not self.lingers:
                self.lingers = True
                try:
                    self.sock.shutdown(SHUT_WR)
                except OSError:
                    self.lose()


def _first(out: Deque[Tuple[Buffer, Optional[Request], int]]) -> list[Tuple[Buffer, Optional[Request], int]]:
    if len(out) <= _VECTOR:
        return list(out)
    return [out[at] for at in range(_VECTOR)]
