"""FastCGI 1.0 as a Responder speaks it on one transport connection, without any I/O.

In: the bytes that a web server sent, in pieces of any size, given to :meth:`Incoming.feed`. Out: events for
each request, and functions that make the records of an answer. Nothing of the profile ``pyspeed/1`` is in
here: that is for the sockets which a worker inherits from its own gateway.
"""

from __future__ import annotations

import struct

from .. import records
from ..records import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Final, Iterator, List, Mapping, Tuple

    from ..records import Buffer

    Event = Tuple[str, int, Any]  # what, request id, and what goes with it

BEGIN_REQUEST: Final = 1
PARAMS: Final = 4
DATA: Final = 8
GET_VALUES_RESULT: Final = records.GET_VALUES_RESULT
MAX_TYPE: Final = 11  # FCGI_MAXTYPE

RESPONDER: Final = 1  # a role
KEEP_CONN: Final = 1  # a flag of BEGIN_REQUEST

# protocolStatus of END_REQUEST (§5.5).
REQUEST_COMPLETE: Final = 0
CANT_MPX_CONN: Final = 1
OVERLOADED: Final = 2
UNKNOWN_ROLE: Final = 3

# Events. What goes with one is in brackets.
BEGIN = "begin"  # a request begins [whether the connection is to be kept afterwards]
REFUSED = "refused"  # one in a role that is not ours, which has not begun [the same]
HEAD = "head"  # its parameters are complete [a dict, or None when there were too many bytes of them]
BODY = "body"  # more of its body [bytes; none: that was all]
ABORT = "abort"  # the web server has no use for an answer any more [None]
REPLY = "reply"  # a management record asks for this answer [bytes]; its request id is 0

_BEGIN = struct.Struct("!HB5x")
_END = struct.Struct("!BBHHBBIB3x")
_STDOUT_END = struct.Struct("!BBHHBBBBHHBBIB3x")


class _Request:
    """What was read of a request so far."""

    __slots__ = ("params", "size", "head", "body")

    def __init__(self) -> None:
        self.params: List[bytes] = []
        self.size = 0
        self.head = False  # its parameters are complete
        self.body = False  # its body is


class Incoming:
    """The web server's side of one connection.

    ``values`` are what GET_VALUES is answered with (§4.1); ``most_params`` bounds the bytes of one request's
    parameters. Raises ProtocolError when the bytes are no FastCGI: the connection is of no use then.
    """

    def __init__(self, values: Mapping[str, str], most_params: int = 1048576) -> None:
        self._values = values
        self._most = most_params
        self._parser = records.Parser()
        self._pieces: List[bytes] = []  # of a record that is not complete
        self._missing = 0  # bytes of it
        self._requests: Dict[int, _Request] = {}

    @property
    def partial(self) -> bool:
        """Whether the bytes so far end inside a record."""
        return bool(self._pieces) or self._parser.partial

    def end(self, request_id: int) -> None:
        """The request is answered: what still comes for it is ignored, and its id may begin anew."""
        self._requests.pop(request_id, None)

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that are complete with ``data``. To be exhausted before the next call."""
        if self._missing > len(data):
            # Joined once, when it is complete: a record that comes byte by byte costs no more for that.
            self._missing -= len(data)
            self._pieces.append(data)
            return
        if self._pieces:
            self._pieces.append(data)
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._missing = 0
        for kind, request_id, _, content in self._parser.feed(data):
            if kind == records.STDIN:
                request = self._requests.get(request_id)
                if request is not None and not request.body:
                    request.body = not content  # §3.3: an empty record ends a stream
                    yield BODY, request_id, content
            elif kind == PARAMS:
                yield from self._params(request_id, content)
            elif kind == BEGIN_REQUEST:
                yield self._begin(request_id, content)
            elif kind == records.ABORT_REQUEST:
                if request_id in self._requests:
                    yield ABORT, request_id, None
            elif request_id == 0:
                yield self._management(kind, content)
            # §3.3: what belongs to no active request is ignored, and so is FCGI_DATA, which is no Responder's.
        self._wait_for_more()

    def _wait_for_more(self) -> None:
        rest = self._parser.take_rest()
        if rest:
            self._pieces.append(rest)
            self._missing = 1
            if len(rest) >= records.HEADER_LENGTH:
                length, padding = records.HEADER.unpack_from(rest)[3:5]
                self._missing = records.HEADER_LENGTH + length + padding - len(rest)

    def _begin(self, request_id: int, content: bytes) -> Event:
        if request_id == 0:
            raise ProtocolError("cannot begin a request: its id is 0, which is for management records")  # §3.3
        if request_id in self._requests:
            raise ProtocolError("cannot begin request %d: it is not over" % request_id)
        if len(content) < 8:
            raise ProtocolError("cannot begin request %d: the record has %d of 8 bytes" % (request_id, len(content)))
        role, flags = _BEGIN.unpack_from(content)
        keep = bool(flags & KEEP_CONN)
        if role != RESPONDER:
            return REFUSED, request_id, keep
        self._requests[request_id] = _Request()
        return BEGIN, request_id, keep

    def _params(self, request_id: int, content: bytes) -> Iterator[Event]:
        request = self._requests.get(request_id)
        if request is None or request.head:
            return
        if content:
            request.size += len(content)
            if request.size <= self._most:
                request.params.append(content)
            else:
                request.params.clear()
            return
        request.head = True
        params = parse_params(b"".join(request.params)) if request.size <= self._most else None
        request.params = []
        yield HEAD, request_id, params

    def _management(self, kind: int, content: bytes) -> Event:
        if kind == records.GET_VALUES:
            asked = records.parse_pairs(content)
            known = {name: self._values[name] for name in asked if name in self._values}
            return REPLY, 0, records.record(GET_VALUES_RESULT, 0, records.pack_pairs(known))
        return REPLY, 0, records.unknown_type(kind)


def parse_params(data: bytes) -> Dict[str, str]:
    """The name-value pairs (§3.4) of a whole PARAMS stream, as Latin-1.

    Of a name that comes again the last value counts, as it is a setting of the web server that overrides another.
    Except for the fields of the request, which some servers give one by one: these are joined (RFC 9110 §5.3). Of
    Host there is only one (RFC 9112 §3.2), so that is a setting again.
    """
    params: Dict[str, str] = {}
    repeated: Dict[str, List[str]] = {}
    text = data.decode("latin-1")
    pos, end = 0, len(data)
    while pos < end:
        name_length, pos = _length(data, pos, end)
        value_length, pos = _length(data, pos, end)
        middle = pos + name_length
        stop = middle + value_length
        if stop > end:
            raise ProtocolError("cannot read the parameters: the last one ends %d bytes too late" % (stop - end))
        name = text[pos:middle]
        value = text[middle:stop]
        pos = stop
        if name in params and name[:5] == "HTTP_" and name != "HTTP_HOST":
            repeated.setdefault(name, [params[name]]).append(value)
        else:
            params[name] = value
    for name, values in repeated.items():
        # RFC 6265 §5.4: cookies are parted by semicolons.
        params[name] = ("; " if name == "HTTP_COOKIE" else ", ").join(values)
    return params


def _length(data: bytes, pos: int, end: int) -> Tuple[int, int]:
    """A length, and where what follows it begins."""
    if pos < end:
        length = data[pos]
        if length < 128:
            return length, pos + 1
        if pos + 4 <= end:
            return int.from_bytes(data[pos : pos + 4], "big") & 0x7FFFFFFF, pos + 4
    raise ProtocolError("cannot read the parameters: they are cut off in a length")


def stream(kind: int, request_id: int, content: Buffer) -> List[bytes]:
    """The records of a piece of a stream; none for an empty piece, whose record would end the stream."""
    view = memoryview(content)
    most = records.MAX_CONTENT
    return [records.record(kind, request_id, view[at : at + most]) for at in range(0, len(view), most)]


def end_request(request_id: int, app_status: int = 0, protocol_status: int = REQUEST_COMPLETE) -> bytes:
    """END_REQUEST (§5.5), for a request that got no answer."""
    return _END.pack(1, records.END_REQUEST, request_id, 8, 0, 0, app_status, protocol_status)


def end_answer(request_id: int, app_status: int) -> bytes:
    """The end of STDOUT and END_REQUEST (§5.5)."""
    return _STDOUT_END.pack(
        1, records.STDOUT, request_id, 0, 0, 0, 1, records.END_REQUEST, request_id, 8, 0, 0, app_status, 0
    )
