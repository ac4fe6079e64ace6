"""A server's process tree: who is in it, what CPU and memory it took, how it ends.

Reads /proc, so Linux only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stat:
    """What is used of /proc/PID/stat (proc_pid_stat(5)); times in seconds, start in ticks since boot."""

    pid: int
    ppid: int
    session: int
    cpu: float  # of this process, all its threads, also ended ones
    reaped: float  # of its children that ended and were waited for
    start: int


def parse_stat(text: str) -> Stat:
    """Parses /proc/PID/stat. The command may hold spaces and parentheses; the last ")" ends it."""
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    return Stat(
        pid=int(head.split("(", 1)[0]),
        ppid=int(fields[1]),
        session=int(fields[3]),
        cpu=(int(fields[11]) + int(fields[12])) * TICK,
        reaped=(int(fields[13]) + int(fields[14])) * TICK,
        start=int(fields[19]),
    )


def read_stat(pid: int) -> Stat | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return parse_stat(file.read())
    except (FileNotFoundError, ProcessLookupError):
        return None


def cpu_clock(pid: int) -> int:
    """The id of a process's CPU clock, as clock_getcpuclockid(3) makes it: nanoseconds, where stat has ticks."""
    return (~pid << 3) | 2


def cpu_seconds(stat: Stat) -> float:
    """User and system time of one process and of the children it reaped."""
    try:
        own = time.clock_gettime(cpu_clock(stat.pid))
    except OSError:  # it ended since, or the kernel refuses: ticks will do
        own = stat.cpu
    # A process that ended has no clock of its own any more, or a stopped one.
    return max(own, stat.cpu) + stat.reaped


def members(root: int, stats: dict[int, Stat]) -> list[Stat]:
    """The descendants of root, and what is in its session though its parent is gone."""
    children: dict[int, list[Stat]] = {}
    for stat in stats.values():
        children.setdefault(stat.ppid, []).append(stat)
    found = {stat.pid: stat for stat in stats.values() if stat.session == root or stat.pid == root}
    todo = list(found)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                todo.append(child.pid)
    return list(found.values())


def all_stats() -> dict[int, Stat]:
    stats = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = read_stat(int(name))
            if stat is not None:
                stats[stat.pid] = stat
    return stats


def parse_pss(text: str) -> int:
    """Kilobytes of proportional set size in /proc/PID/smaps_rollup."""
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError("cannot read PSS: no Pss line in smaps_rollup")


def read_pss(pid: int) -> int:
    """Kilobytes; 0 for a process that ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return parse_pss(text) if text else 0  # a zombie's is empty


class Tree:
    """The processes below children that were started in sessions of their own: one, or several that serve together."""

    def __init__(self, *processes: subprocess.Popen[bytes]) -> None:
        self.processes = processes
        self._seen: dict[int, int] = {}  # pid to start time, so that a reused pid is left alone

    def stats(self) -> list[Stat]:
        every = all_stats()
        found = {stat.pid: stat for process in self.processes for stat in members(process.pid, every)}
        self._seen.update((stat.pid, stat.start) for stat in found.values())
        return list(found.values())

    def ended(self) -> subprocess.Popen[bytes] | None:
        """A child that has ended, though it should serve; None while all run."""
        return next((process for process in self.processes if process.poll() is not None), None)

    def cpu(self) -> float:
        """Seconds of CPU since the start, children included."""
        return sum(cpu_seconds(stat) for stat in self.stats())

    def pss(self) -> int:
        """Kilobytes of memory, what is shared counted by its share."""
        return sum(read_pss(stat.pid) for stat in self.stats())

    def stop(self, grace: float = 5.0) -> bool:
        """Ends the tree: TERM to the children, the last first, and after `grace` seconds KILL to all.

        False if KILL was needed.
        """
        deadline = time.monotonic() + grace
        try:
            self.stats()
            for process in reversed(self.processes):
                process.terminate()
            for process in self.processes:
                process.wait(max(0.0, deadline - time.monotonic()))
            return True
        except subprocess.TimeoutExpired:
            return False
        finally:  # also on a second Ctrl-C
            self.kill()

    def kill(self) -> None:
        """Sends KILL to all that is left, and to nothing that took over a pid."""
        self.stats()
        for process in self.processes:
            # A child that was waited for has given its pid back; its group lives on while a member does.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        for pid, start in self._seen.items():
            stat = read_stat(pid)
            if stat is not None and stat.start == start:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()
