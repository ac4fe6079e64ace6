"""What /proc tells about a process (Linux)."""

from __future__ import annotations

import ctypes
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """For Popen's preexec_fn: no server outlives a test run that was killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The process's children, of all its threads."""
    return sorted(child for task in Path(f"/proc/{pid}/task").iterdir() for child in _children_of_task(task))


def _children_of_task(task: Path) -> list[int]:
    try:
        return [int(child) for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []  # the thread ended meanwhile


def is_zygote(pid: int) -> bool:
    """Whether it is one of the processes that workers are forked from."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"\0zygote\0")
    except (FileNotFoundError, ProcessLookupError):
        return False


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def peak_rss(pid: int) -> int:
    """The most memory the process ever had resident, in bytes."""
    return _status(pid, "VmHWM")


def rss(pid: int) -> int:
    """Resident memory now, in bytes."""
    return _status(pid, "VmRSS")


def bytes_read(pid: int) -> int:
    """Bytes that the process has had copied into its memory by reading, from whatever."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise ValueError(f"no rchar of process {pid}")


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"{key} is not in /proc/{pid}/status")
