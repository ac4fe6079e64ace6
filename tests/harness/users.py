"""Running servers as other users, which only root can do."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Belongs to nobody: no name, no home, no processes.
STRANGER = 54321

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that every user can enter. pytest's cannot be made so: each test run that begins closes all of them."""
    with tempfile.TemporaryDirectory(prefix="pyspeed-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _runs(path: str) -> bool:
    try:
        done = subprocess.run([path, "-c", ""], user=STRANGER, group=STRANGER, extra_groups=[], check=False)
    except OSError:
        return False
    return done.returncode == 0


@functools.cache
def python_for_everybody() -> str:
    """A Python that other users can run: ours may be in a folder that only root can enter."""
    for path in (sys.executable, "/usr/bin/python3"):
        if _runs(path):
            return path
    raise AssertionError("no Python that everybody can run; Debian: apt install python3-minimal")


def status(pid: int, task: int | None = None) -> dict[str, str]:
    """What /proc says of a process, or of one of its threads."""
    path = Path(f"/proc/{pid}/task/{task}/status" if task else f"/proc/{pid}/status")
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: " ".join(value.split()) for name, _, value in lines}


def identities(pid: int) -> set[tuple[str, str, str]]:
    """The users, groups and supplementary groups of all threads of a process."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            of = status(pid, int(task.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        found.add((of["Uid"], of["Gid"], of["Groups"]))
    return found
