"""The part of a request's body that has arrived and that the application has not taken yet.

In: pieces as they come. Out: pieces of the size that is wanted. The first 256 KiB are kept in memory, what
comes on top in an unlinked temporary file. Used by one thread.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import IO, Deque, Optional
else:
    from collections import deque

MEMORY = 262144  # bytes


class Body:
    """A first-in, first-out store of bytes. Raises OSError when the disk fails."""

    __slots__ = ("size", "_chunks", "_in_memory", "_file", "_read", "_written")

    def __init__(self) -> None:
        self.size = 0  # bytes in it
        self._chunks: Deque[bytes] = deque()  # older than what is in the file
        self._in_memory = 0
        self._file: Optional[IO[bytes]] = None
        self._read = 0
        self._written = 0

    def append(self, data: bytes) -> None:
        """More arrived."""
        self.size += len(data)
        if self._written == self._read and self._in_memory + len(data) <= MEMORY:
            self._chunks.append(data)
            self._in_memory += len(data)
            return
        if self._file is None:
            import tempfile

            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the body
        self._file.seek(self._written)
        self._file.write(data)
        self._written += len(data)

    def take(self, most: int) -> bytes:
        """Up to ``most`` bytes; nothing when it is empty."""
        chunks = self._chunks
        if chunks:
            data = chunks.popleft()
            if len(data) > most:
                chunks.appendleft(data[most:])
                data = data[:most]
            self._in_memory -= len(data)
        elif self._file is not None and self._read < self._written:
            self._file.seek(self._read)
            data = self._file.read(min(most, self._written - self._read))
            if not data:
                raise OSError("the temporary file ended early")
            self._read += len(data)
            if self._read == self._written:
                self._read = self._written = 0
                self._file.seek(0)
                self._file.truncate()
        else:
            return b""
        self.size -= len(data)
        return data

    def take_all(self) -> bytes:
        """All of it."""
        parts = []
        while self.size:
            parts.append(self.take(self.size))
        return b"".join(parts)

    def close(self) -> None:
        """Drop what is left."""
        self.size = 0
        self._chunks.clear()
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                pass  # the disk is full, and what could not be written is not needed any more
            self._file = None
