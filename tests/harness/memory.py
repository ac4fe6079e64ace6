"""A folder in memory, for what would only wait for the disk."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

_TMPFS = Path("/dev/shm")
_ROOM = 2 << 30


def folder_in_memory(otherwise: Path) -> Path:
    """A new one; the other one where there is none, or little room in it.

    For the shops' databases: with each request the last connection to one is closed, which SQLite ends with a sync of
    the disk, hundreds of times as long as the request.
    """
    parent = _parent()
    return Path(tempfile.mkdtemp(dir=parent)) if parent else otherwise


@functools.lru_cache(maxsize=1)
def _parent() -> Path | None:
    try:
        if shutil.disk_usage(_TMPFS).free < _ROOM:
            return None
        parent = Path(tempfile.mkdtemp(prefix="pyspeed-tests-", dir=_TMPFS))
    except OSError:
        return None
    atexit.register(forget)
    return parent


def forget() -> None:
    """Removes all of them."""
    if _parent.cache_info().currsize and (parent := _parent()):
        shutil.rmtree(parent, ignore_errors=True)
