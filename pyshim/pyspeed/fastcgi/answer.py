"""The answer of an application as CGI has it: its head checked and written out, its body kept to its length.

In: status and headers as an application gave them, and pieces of body. Out: bytes for STDOUT records
(RFC 3875 §6). What a web server must not get to see raises ValueError, whose text is for the log.
"""

from __future__ import annotations

import re
from http import HTTPStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Tuple

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.1: a token
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 §5.5: CR, LF or NUL would let it write the answer
_REASONS = {status.value: status.phrase for status in HTTPStatus}

# Fields of the connection, which is the web server's (RFC 9110 §7.6.1), and Status, which is CGI's own (RFC 3875 §6.3).
_LEFT_OUT = {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"status"}


class Answer:
    """What is known of one answer once its head is."""

    __slots__ = ("status", "head", "remaining", "excess")

    def __init__(self, status: Any, headers: Iterable[Tuple[Any, Any]], head_request: bool) -> None:
        """Raises ValueError for a status, name, value or length that is not allowed, TypeError for what is no text."""
        self.status = code = _code(status)
        out = [b"Status: %d %s\r\n" % (code, _REASONS.get(code, "").encode())]
        length = -1
        for field in headers:
            name, value = map(_bytes, _pair(field))
            value = value.strip(b" \t")
            if not _NAME.fullmatch(name):
                raise ValueError("the field name %a is not a token; rename the header" % name[:64])
            if _CONTROL.search(value):
                raise ValueError("the value of %a holds a control character; remove it" % name[:64])
            lower = name.lower()
            if lower in _LEFT_OUT or lower.startswith(b"proxy-"):
                continue
            if lower == b"content-length":
                if length >= 0:  # RFC 9110 §8.6
                    raise ValueError("it has more than one Content-Length")
                if not value.isdigit() or len(value) > 18:
                    raise ValueError("its Content-Length is not a number")
                length = int(value)
                if code in (204, 304):  # RFC 9110 §8.6: none in 204, in 304 only that of the 200
                    continue
            out.append(b"%s: %s\r\n" % (name, value))
        out.append(b"\r\n")
        self.head = b"".join(out)
        if head_request or code in (204, 304):  # RFC 9110 §6.4.1: no content, whatever is sent
            length = 0
        self.remaining = length  # body bytes still to come; -1: as many as there are
        self.excess = 0  # bytes that the application sent beyond

    def body(self, data: memoryview) -> memoryview:
        """What of the next piece of body belongs to the answer."""
        if self.remaining < 0:
            return data
        taken = data[: self.remaining]
        self.remaining -= len(taken)
        self.excess += len(data) - len(taken)
        return taken


def informational(status: Any) -> bool:
    """Whether the answer proper still follows (RFC 9110 §15.2); CGI has no way to pass such a one on."""
    return 100 <= _code(status) < 200


def plain(status: int) -> bytes:
    """A whole answer of our own."""
    text = "%d %s\n" % (status, _REASONS[status])
    head = "Status: %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    return (head % (status, _REASONS[status], len(text)) + text).encode()


def _code(status: Any) -> int:
    digits = status[:3] if isinstance(status, str) else str(status)
    if not (digits.isascii() and digits.isdigit() and len(digits) == 3) or digits < "100" or digits == "101":
        raise ValueError("its status %a is not one of 200 to 999" % (status,))
    if isinstance(status, str) and status[3:4] not in ("", " "):
        raise ValueError("its status %a does not start with three digits" % status[:40])
    return int(digits)


def _pair(field: Any) -> Tuple[Any, Any]:
    if not isinstance(field, (tuple, list)) or len(field) != 2:
        raise TypeError("the header %a is no pair of a name and a value" % (field,))
    return field[0], field[1]


def _bytes(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode("latin-1")
    # Not bytes(text): an int would make that many of them.
    if not isinstance(text, bytes):
        raise TypeError("the header's name or value %a is %s; make it a str" % (text, type(text).__name__))
    return text
