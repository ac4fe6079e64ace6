"""The way from the responder's front to the code that runs the application: a data socket with ``pyspeed/1``.

The front plays the gateway's part within one process: it sends REQUEST, STDIN, WINDOW and ABORT_REQUEST, and
hands on what comes back to the request with that number. So WSGI, ASGI and Tornado applications run here
through the very same code as in a gateway's worker. Runs on the front's thread; nothing here waits.
"""

from __future__ import annotations

from collections import deque

from .. import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Deque, Dict, List, Optional

    from ..records import Buffer
    from .request import Request

_RECEIVE = 262144  # bytes read at once
_HIGH_WATER = 1048576  # unsent bytes above which no more is to be read from web servers


class Channel:
    """The front's end of the data socket."""

    def __init__(self, sock: socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.requests: Dict[int, Request] = {}  # by number
        self.held = 0  # requests that are not over on both sides; these count themselves
        self.blocked = False  # the other end does not take our bytes at the moment
        self._free: Deque[int] = deque(range(1, 65536))  # taken at one end, given back at the other: reuse is late
        self._out: List[Buffer] = []
        self._unsent = 0  # bytes of it
        self._parser = records.Parser()
        self._joiner = records.Joiner()

    @property
    def full(self) -> bool:
        """Whether so much waits to be sent that nothing should be added."""
        return self._unsent > _HIGH_WATER

    def add(self, request: Request) -> int:
        """A number for a request."""
        number = self._free.popleft()
        self.requests[number] = request
        return number

    def send(self, record: Buffer) -> None:
        """Put a record into the next write."""
        self._out.append(record)
        self._unsent += len(record)

    def flush(self) -> None:
        """Write as much as the socket takes."""
        while self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            try:
                sent = self.sock.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self._out.clear()  # the other end is closed; reading tells
                self._unsent = 0
                break
            self._unsent -= sent
            self._out[:] = [memoryview(data)[sent:]] if sent < len(data) else []
            if sent < len(data):
                self.blocked = True
                return
        self.blocked = False

    def read(self) -> bool:
        """Hand on what has arrived; False at the end."""
        try:
            data = self.sock.recv(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        if not data:
            return False
        for kind, number, flags, content in self._parser.feed(data):
            request = self.requests.get(number)
            if request is None:
                continue
            if kind == records.RESPONSE:
                whole: Optional[bytes] = self._joiner.add(number, flags, content)
                if whole is not None:
                    request.response(whole)
                    if flags & records.LAST:
                        self._ended(number, records.APP_COMPLETE)
            elif kind == records.STDOUT:
                request.stdout(memoryview(content))
            elif kind == records.STDERR:
                request.stderr(content)
            elif kind == records.WINDOW:
                request.credited(records.parse_window(content))
            elif kind == records.END_REQUEST:
                self._ended(number, records.parse_end_request(content)[0])
        return True

    def _ended(self, number: int, app_status: int) -> None:
        request = self.requests.pop(number)
        request.ended(app_status)
        self._free.append(number)
