"""The files that static cells ask for: the same on every machine, made once per run."""

from __future__ import annotations

import os
import random
from pathlib import Path

from .place import Place

KIB, MIB = 1024, 1024 * 1024
SIZES = {"1k.bin": KIB, "64k.bin": 64 * KIB, "1m.bin": MIB, "10m.bin": 10 * MIB}
# From 300 bytes to 300 KB, as many in each order of magnitude: 43 MB in all.
COLD_FILES = 1000
COLD_LEAST, COLD_MOST = 300, 300_000

_BLOCK = random.Random(6).randbytes(64 * KIB)  # which no server makes smaller


def content(size: int) -> bytes:
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


def cold_sizes() -> list[int]:
    dice = random.Random(7)
    return [round(COLD_LEAST * (COLD_MOST / COLD_LEAST) ** dice.random()) for _ in range(COLD_FILES)]


def cold_name(number: int) -> str:
    """As in wrk/cold.lua."""
    return f"cold/{number:04}.bin"


def make(place: Place) -> None:
    """Writes those that are not there yet, to the disk, so that `evict` can drop them from memory."""
    folder = place.files
    if folder.exists():
        return
    part = folder.with_name("files.part")
    (part / "cold").mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        (part / name).write_bytes(content(size))
    for number, size in enumerate(cold_sizes()):
        (part / cold_name(number)).write_bytes(content(size))
    os.sync()
    part.rename(folder)


def evict(folder: Path) -> None:
    """Drops the pages of the files below a folder from the kernel's cache."""
    for path in folder.rglob("*.bin"):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
