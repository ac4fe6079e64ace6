"""The file-like objects of a WSGI environ: ``wsgi.input``, ``wsgi.errors``, ``wsgi.file_wrapper``."""

from __future__ import annotations

import io
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, BinaryIO, Iterable, Iterator, List, NoReturn, Optional

    from .connection import Stream

_BLOCK = 61440  # whole pages, and with a head no more than one record


class EmptyInput:
    """The input of every request without a body: one object for all, so it keeps nothing and cannot be closed."""

    __slots__ = ()

    def read(self, size: Optional[int] = -1) -> bytes:
        """Nothing."""
        return b""

    readline = read

    def readlines(self, hint: Optional[int] = -1) -> List[bytes]:
        """Nothing."""
        return []

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        """Nothing happens: the object serves the next request too."""


class _StreamedBody(io.RawIOBase):
    """A body that arrives while it is read."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.read_into(memoryview(buffer).cast("B"))

    def readall(self) -> bytes:
        return self._stream.read_all()


def body_input(stream: Stream) -> BinaryIO:
    """``wsgi.input`` over a streamed body: ends where the body ends; raises an OSError when the client leaves."""
    return io.BufferedReader(_StreamedBody(stream), _BLOCK)


class ErrorStream:
    """``wsgi.errors``: text for the gateway's log, one write per call so that threads do not mix.

    Without ``target`` it follows ``sys.stderr``. Cannot be closed.
    """

    __slots__ = ("_target",)

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, target: Optional[IO[str]] = None) -> None:
        self._target = target

    def write(self, text: str) -> int:
        """Write ``text``."""
        return (self._target or sys.stderr).write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all ``lines``."""
        (self._target or sys.stderr).write("".join(lines))

    def flush(self) -> None:
        """Send what was written to the log."""
        (self._target or sys.stderr).flush()

    def isatty(self) -> bool:
        """Never."""
        return False

    def fileno(self) -> int:
        """The descriptor of standard error."""
        return (self._target or sys.stderr).fileno()

    def close(self) -> None:
        """Nothing happens: the object serves the next request too."""


class FileWrapper:
    """PEP 3333's ``wsgi.file_wrapper``: a file as an iterable of blocks, from where it stands.

    Returned from the application as it is, the file is read in blocks that suit the
    transport (60 KiB); iterated by a middleware, in blocks of ``block_size``.
    """

    def __init__(self, filelike: Any, block_size: int = _BLOCK) -> None:
        self.filelike = filelike
        self.block_size = block_size
        close = getattr(filelike, "close", None)
        if close is not None:
            self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.block_size)
        if not data:
            raise StopIteration
        return data

    def blocks(self) -> Iterator[bytes]:
        """The file in blocks that suit the transport."""
        self.block_size = max(self.block_size, _BLOCK)
        return self


def not_iterable(result: object) -> NoReturn:
    """Raise the TypeError that tells what the application should have returned."""
    raise TypeError(
        "cannot send the answer: the application returned %s, not an iterable of bytes" % type(result).__name__
    )
