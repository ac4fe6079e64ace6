"""One request of a web server, from its BEGIN_REQUEST to its END_REQUEST.

In: the events of the web server's connection, and what the application's side says. Out: records both ways.
Runs on the front's thread.

::

    HEAD, BODY ──> collected (WSGI, up to buffer_body) ──> begun: its number is in the channel
                                                             │
        answered, aborted, refused or cut: ``link`` is None <┘   the channel's number lives on
                                                                 until the application's side ends it
"""

from __future__ import annotations

import io
import marshal
import sys

from .. import records
from . import codec
from .answer import Answer, informational, plain
from .body import Body
from .params import BadRequest, content_length, environ, method, path, scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    from .channel import Channel
    from .link import Link

_WINDOW = 6  # the answer's first window: MIN_WINDOW << 6, 256 KiB
_EMBEDDED = 262144  # bytes of a body that travel with the head
_ENOUGH = 65536  # bytes of a body beyond its window that may wait; one more read still fits into memory
_GRANT = 65536  # bytes of an answer that are credited together
_STDERR = 65536  # unsent bytes of STDERR records; text beyond goes to our own standard error


class Limits:
    """What is the same for every request."""

    __slots__ = ("interface", "root_path", "max_body", "buffer_body")

    def __init__(self, interface: str, root_path: str, max_body: int, buffer_body: int) -> None:
        self.interface = interface
        self.root_path = root_path
        self.max_body = max_body
        # A slow upload must not hold a thread; who does not run in one reads while it arrives.
        self.buffer_body = buffer_body if interface == "wsgi" else -1


class Request:
    """A request and its answer."""

    __slots__ = (
        "id",
        "link",
        "_channel",
        "_limits",
        "_number",
        "_head",
        "_method",
        "_target",
        "_length",
        "_received",
        "_body",
        "_whole",
        "_told",
        "_credit",
        "_answer",
        "_uncredited",
        "_stderr",
    )

    def __init__(self, link: Link, request_id: int, channel: Channel, limits: Limits) -> None:
        self.id = request_id
        self.link: Optional[Link] = link  # None: the web server is done with it
        self._channel = channel
        self._limits = limits
        self._number = 0  # in the channel; 0: it has not begun
        self._head: Optional[Dict[str, Any]] = None
        self._method = "-"
        self._target = ""
        self._length: Optional[int] = None  # of the body, as announced
        self._received = 0  # bytes of it
        self._body = Body()
        self._whole = False  # all of it is here
        self._told = False  # the application's side knows that it is
        self._credit = records.INPUT_WINDOW  # body bytes that may be sent to the application's side
        self._answer: Optional[Answer] = None  # its head was sent
        self._uncredited = 0  # body bytes of it that the web server took
        self._stderr = False  # a STDERR record was sent
        channel.held += 1

    # What the web server says.

    def head(self, params: Optional[Dict[str, str]]) -> None:
        """Its parameters are complete; None: there are too many."""
        if params is None:
            self._refuse(431, "its parameters are too large")
            return
        self._target = params.get("REQUEST_URI") or path(params)
        try:
            self._method = method(params)
            self._length = length = content_length(params)
            if self._limits.interface == "wsgi":
                self._head = environ(params)
            else:
                self._head = scope(params, self._limits.root_path)
        except BadRequest as error:
            self._refuse(400, str(error))
            return
        if length is None:
            return
        if length > self._limits.max_body:
            self._refuse(413, "its body of %d bytes is too large" % length)
            return
        if self._body.size > length:  # its beginning came before the parameters' end
            early, self._body = self._body, Body()
            try:
                self._body.append(early.take_all()[:length])
            except OSError as error:
                self._refuse(500, "cannot keep its body: %s" % error)
                return
            finally:
                early.close()
            self._received = length
        if self._received == length:
            self._whole = True
        elif self._whole:
            self._refuse(400, "its body ended early")

    def body(self, content: bytes) -> None:
        """More of its body; empty: that was all."""
        if self._whole:
            return
        if not content:
            self._whole = True
            if self._length is not None and self._received < self._length:
                # The client left, and the server has not noticed or does not say so: never run what is cut off.
                self._refuse(400, "its body ended after %d of %d bytes" % (self._received, self._length))
            return
        if self._length is not None:
            content = content[: self._length - self._received]
        self._received += len(content)
        if self._received > self._limits.max_body:
            self._refuse(413, "its body is too large")
            return
        try:
            self._body.append(content)
        except OSError as error:
            self._refuse(500, "cannot keep its body: %s" % error)
            return
        self._whole = self._received == self._length

    def advance(self) -> None:
        """Do what has become possible by what was read. Called once after each read that had something for it."""
        if self.link is None:
            return
        if self._number:
            self._feed()
        elif self._head is not None and (
            self._whole or max(self._received, self._length or 0) > self._limits.buffer_body
        ):
            self._begin()

    def abort(self) -> None:
        """ABORT_REQUEST: the application's side is told, and the web server need not wait for it."""
        self._send(codec.end_request(self.id))
        self._drop()

    def lost(self) -> None:
        """The connection is closed: nobody will read an answer."""
        self._drop()

    # What the application's side says.

    def response(self, content: bytes) -> None:
        """The answer's head, and perhaps some of its body."""
        if self.link is None or self._answer is not None:
            return
        file = io.BytesIO(content)
        status, headers = marshal.load(file)
        try:
            if informational(status):
                return
            self._answer = answer = Answer(status, headers, self._method == "HEAD")
        except (ValueError, TypeError) as error:
            self._refuse(500, "cannot send the answer: %s" % error)
            return
        for record in codec.stream(records.STDOUT, self.id, answer.head):
            self._send(record)
        self.stdout(memoryview(content)[file.tell() :])

    def stdout(self, data: memoryview) -> None:
        """More of the answer's body."""
        if self.link is None or self._answer is None:
            return
        taken = self._answer.body(data)
        if len(taken) < len(data):
            self.taken(len(data) - len(taken))
        for record in codec.stream(records.STDOUT, self.id, taken):
            self.link.send(record, self, len(record) - records.HEADER_LENGTH)

    def stderr(self, text: bytes) -> None:
        """Something for the log."""
        link = self.link
        if link is None or link.unsent > _STDERR:
            # STDERR must not fill the connection that the answer has to go through.
            _log(text.decode("utf-8", "replace"))
            return
        self._stderr = True
        for record in codec.stream(records.STDERR, self.id, text):
            self._send(record)

    def credited(self, size: int) -> None:
        """The application read so much of the body."""
        self._credit += size
        if self.link is not None:
            self._feed()

    def ended(self, app_status: int) -> None:
        """The application's side is done with it."""
        self._number = 0
        if self.link is None:
            self._channel.held -= 1
            return
        answer = self._answer
        if answer is None:
            self._finish(500)
        elif app_status != records.APP_COMPLETE:
            self._cut()
        elif answer.remaining > 0:
            self._say("the answer ended %d bytes before its Content-Length" % answer.remaining)
            self._cut()
        else:
            if answer.excess and self._method != "HEAD" and answer.status not in (204, 304):
                self._say("the application sent %d bytes more than its answer may have" % answer.excess)
            self._send_end(0)
            self._leave()

    # What the connection reports.

    def taken(self, size: int) -> None:
        """The web server took so much of the answer's body."""
        self._uncredited += size
        if self._uncredited >= _GRANT:
            self.grant()

    def grant(self) -> None:
        """Let the application's side send as much again as the web server has taken."""
        if self._uncredited and self._number and self.link is not None:
            self._channel.send(records.window(self._number, self._uncredited))
        self._uncredited = 0

    # To the application's side.

    def _begin(self) -> None:
        head, body = self._head, self._body
        assert head is not None
        flags = _WINDOW << 4
        embedded: Optional[bytes] = None
        try:
            if self._whole:
                if self._limits.interface == "wsgi" and self._received and self._length is None:
                    # The server did not know it; with a body that is complete it can be told.
                    head["CONTENT_LENGTH"] = str(self._received)
                if body.size <= _EMBEDDED:
                    embedded = body.take_all()
        except OSError as error:
            self._refuse(500, "cannot read its body back: %s" % error)
            return
        if embedded is None:
            flags |= records.BODY
        else:
            self._told = True
        self._number = self._channel.add(self)
        # Version 4 of marshal refers back to strings that it has written, so it is shorter and faster to read.
        for record in records.split(records.REQUEST, self._number, marshal.dumps((head, embedded), 4), flags):
            self._channel.send(record)
        self._head = None
        self._feed()

    def _feed(self) -> None:
        """Pass on what has arrived of the body, as far as there is credit."""
        body = self._body
        link = self.link
        if link is None or self._told:
            return
        try:
            while self._credit > 0 and body.size:
                data = body.take(min(self._credit, records.MAX_CONTENT))
                self._credit -= len(data)
                self._channel.send(records.record(records.STDIN, self._number, data))
        except OSError as error:
            self._refuse(500, "cannot read its body back: %s" % error)
            return
        if self._whole and not body.size:
            self._told = True
            self._channel.send(records.record(records.STDIN, self._number))
        # Where the connection is this request's alone the web server can wait; else what comes goes to a file, as the
        # other requests must not.
        link.pause(body.size >= _ENOUGH and len(link.requests) == 1)

    def _drop(self) -> None:
        """Nobody wants the answer."""
        self._leave()
        if self._number:
            self._channel.send(records.record(records.ABORT_REQUEST, self._number))

    # To the web server.

    def _send(self, record: bytes) -> None:
        if self.link is not None:
            self.link.send(record)

    def _send_end(self, app_status: int) -> None:
        if self._stderr:
            self._send(records.record(records.STDERR, self.id))  # §3.3: a stream that was used is ended
        self._send(codec.end_answer(self.id, app_status))

    def _refuse(self, status: int, why: str) -> None:
        """Answer in place of the application, or cut its answer where that has begun."""
        if self.link is None:
            return
        self._say(why)
        number = self._number
        if self._answer is None:
            self._finish(status)
        else:
            self._cut()
        if number:
            self._channel.send(records.record(records.ABORT_REQUEST, number))

    def _finish(self, status: int) -> None:
        for record in codec.stream(records.STDOUT, self.id, plain(status)):
            self._send(record)
        # appStatus is the exit code that a CGI program would have had (§5.5).
        self._send_end(1 if status >= 500 else 0)
        self._leave()

    def _cut(self) -> None:
        """The answer stays incomplete. Web servers ignore appStatus; what they notice is a connection that ends."""
        link = self.link
        assert link is not None
        alone = len(link.requests) == 1
        if not alone:
            self._send_end(1)
        self._leave()
        if alone:
            link.end()

    def _leave(self) -> None:
        link, self.link = self.link, None
        self._body.close()
        if link is not None:
            link.leave(self)
            if not self._number:
                self._channel.held -= 1

    def _say(self, text: str) -> None:
        """To the web server's log, if it is there."""
        line = "pyspeed: %s %s: %s\n" % (self._method, ascii(self._target)[1:-1], text)
        self.stderr(line.encode("utf-8", "backslashreplace"))


def _log(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # a standard error that is closed must not end the server
