"""``wsgi.errors`` as STDERR records of the request, so that the text goes where that request's log is.

For a start message with ``errors`` set to ``records``: a web server has a log of its own. Text that is
written once the answer is complete goes to the process's standard error, as the request's number may be
another's then.
"""

from __future__ import annotations

import sys

from . import records, wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap
    from typing import Any, Callable, Dict, Iterable

    from .connection import Connection, Item
    from .wsgi import Answer, Application, Environ


class ErrorRecords:
    """``wsgi.errors`` of one request. Any thread may write."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._over = False

    def write(self, text: str) -> int:
        """Write ``text``."""
        if self._over or self._answer.complete:
            return sys.stderr.write(text)
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        number, most = self._answer.item[0], records.MAX_CONTENT
        parts = [records.record(records.STDERR, number, data[at : at + most]) for at in range(0, len(data), most)]
        if parts:
            self._answer.connection.push(parts, more_soon=True)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all ``lines``."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Send what was written."""
        if self._over or self._answer.complete:
            sys.stderr.flush()
        else:
            self._answer.connection.flush()

    def isatty(self) -> bool:
        """Never."""
        return False

    def fileno(self) -> int:
        """The descriptor of standard error, for those who must have one."""
        return sys.stderr.fileno()

    def close(self) -> None:
        """Nothing happens: the server's own text may follow."""

    def end(self) -> None:
        """The request is over."""
        self._over = True


def handler(
    app: Application, base: Environ, connection: Connection, marks: mmap, root_path: str = ""
) -> Callable[[Item], None]:
    """As :func:`pyspeed.wsgi.handler`."""
    opened: Dict[int, ErrorRecords] = {}  # by the identity of the request's item

    def with_errors(environ: Environ, start_response: Any) -> Iterable[bytes]:
        answer: Answer = start_response.__self__
        environ["wsgi.errors"] = opened[id(answer.item)] = ErrorRecords(answer)
        return app(environ, start_response)

    handle = wsgi.handler(with_errors, base, connection, marks, root_path)

    def handle_and_end(item: Item) -> None:
        handle(item)
        errors = opened.pop(id(item), None)
        if errors is not None:
            errors.end()

    return handle_and_end
