"""One round: warm-up, load, and what it cost the server."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, field
from typing import Any

from . import files, overload, wrk
from .cell import OURS, Cell
from .place import Place
from .processes import TICK
from .servers import Server, StartError, last_line, log_tail, probe, running

SETTLE_SECONDS = 10.0
SETTLE_STEP = 0.3


@dataclass(frozen=True)
class Load:
    """Seconds of load, and of warm-up before it, which is not counted."""

    seconds: float
    warm_up: float = 1.0

    def of(self, cell: Cell) -> float:
        """Seconds of load in a cell."""
        return max(self.seconds, cell.least_seconds)


@dataclass
class Round:
    """One server's figures in one round. When `failure` is not empty there are none."""

    cell: str
    server: str
    number: int
    failure: str = ""
    rps: float = 0.0
    cpu_us: float = 0.0  # microseconds of CPU per request, whole process tree, user and system
    cores: float = 0.0  # CPUs that the tree kept busy
    load_cores: float = 0.0  # CPUs that the load kept busy
    p50_us: int = 0  # of the short requests, where there are two classes of them
    p90_us: int = 0
    p99_us: int = 0
    p999_us: int = 0
    max_us: int = 0
    pss_kb: int = 0  # just after the load
    idle_kb: int = 0  # before any load but the probe; 0 in cells that are not about memory
    requests: int = 0
    capacity: float = 0.0  # requests/s that it could answer just before it was overloaded
    refused: int = 0  # with 503 and Retry-After, while it was
    errors: dict[str, int] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    processes: int = 0
    others: float = 0.0  # CPUs that everything else kept busy meanwhile, the hypervisor's other guests included
    notes: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)  # the end of what a server that failed, or made errors, had to say

    @property
    def error_count(self) -> int:
        return sum(self.errors.values())

    @property
    def goodput(self) -> float:
        """What it still answered under overload, as a share of what it can."""
        return self.rps / self.capacity if self.capacity else 0.0

    @property
    def valid(self) -> bool:
        """Whether the figures may be compared: it ran, and every answer was a good one."""
        return not self.failure and self.error_count == 0 and self.requests > 0


def parse_busy(text: str) -> float:
    """Seconds of CPU taken since boot, from /proc/stat: by processes and interrupts, and by other guests (steal)."""
    for line in text.splitlines():
        if line.startswith("cpu "):
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(part) for part in line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) * TICK
    raise ValueError("cannot read /proc/stat: no cpu line")


def machine_busy() -> float:
    with open("/proc/stat", encoding="ascii") as file:
        return parse_busy(file.read())


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(place: Place, cell: Cell, server: Server, number: int, load: Load) -> Round:
    """Measures a running server. Failures are in the result, not raised."""
    result = Round(cell.name, server.name, number, command=portable(server.commands, place, cell))
    try:
        if cell.cold:
            files.evict(place.files)
        elif load.warm_up:
            wrk.run(place, cell, server.ports.http, load.warm_up)
        cpu, busy, children = server.tree.cpu(), machine_busy(), _children_cpu()
        put = overload.run if cell.overload else wrk.run
        begun = time.monotonic()
        figures = put(place, cell, server.ports.http, load.of(cell))
        used = server.tree.cpu() - cpu
        # One pass over files is shorter than what was looked at.
        elapsed = time.monotonic() - begun if cell.cold else figures.duration_us / 1e6
        loading = _children_cpu() - children
        others = machine_busy() - busy - used - loading
    except wrk.MeasureError as error:
        result.failure = str(error)
        return result
    ended = server.tree.ended()
    if ended is not None:
        result.log = log_tail(server.log)
        result.failure = f"it exited with {ended.returncode} under load: {last_line(result.log)}"
        return result
    result.rps = figures.rps
    result.requests = figures.requests
    result.capacity, result.refused = figures.capacity, figures.refused
    if any(figures.errors.values()):
        result.log = log_tail(server.log)
    result.errors = figures.errors
    result.classes = figures.classes
    if cell.overload:  # its CPU time is also that of what is not counted
        used = elapsed = 0.0
    result.cpu_us = used * 1e6 / figures.requests if figures.requests else 0.0
    result.cores = used / elapsed if elapsed else 0.0
    result.load_cores = loading / elapsed if elapsed else 0.0
    result.others = max(0.0, others / elapsed) if elapsed else 0.0
    if cell.latency:
        _take_latencies(result, figures)
    result.pss_kb = server.tree.pss()
    result.processes = len(server.tree.stats())
    if not figures.requests:
        result.failure = f"no request was answered ({describe_errors(figures.errors) or 'no errors either'})"
    return result


def _take_latencies(result: Round, figures: wrk.Wrk) -> None:
    source = figures.classes.get("short") or figures.__dict__
    for name in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us"):
        setattr(result, name, source[name])


def settled_pss(server: Server) -> int:
    """Kilobytes once the tree has stopped to grow: all its workers are there, and have imported the application."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before = server.tree.pss()
    while time.monotonic() < deadline:
        time.sleep(SETTLE_STEP)
        now = server.tree.pss()
        if abs(now - before) <= 64:
            return now
        before = now
    return before


def rounds_of(place: Place, cells: list[Cell], name: str, number: int, load: Load) -> list[Round]:
    """Starts a server, measures it in each of the cells, which are of one group, and ends it."""
    done: list[Round] = []
    try:
        with running(name, place, cells[0]) as server:
            idle = settled_pss(server) if any(cell.workers > 1 or cell.wins in ("pss", "idle") for cell in cells) else 0
            for cell in cells:
                wrong = _probe(cell, server) if done else ""
                if wrong:
                    done.append(Round(cell.name, name, number, failure=wrong, log=log_tail(server.log)))
                    continue
                done.append(measure(place, cell, server, number, load))
                done[-1].idle_kb = idle
    except StartError as error:
        return [Round(cell.name, name, number, failure=str(error), log=error.tail) for cell in cells]
    if name == OURS and not any(r.failure for r in done):
        notes = check_access_log(place, sum(r.requests for r in done))
        for r in done:
            r.notes += notes
    return done


def _probe(cell: Cell, server: Server) -> str:
    try:
        return probe(cell, server.ports.http)
    except OSError as error:
        return f"the probe failed: {error}"


def check_access_log(place: Place, requests: int) -> list[str]:
    """After the server ended: a log with fewer lines than answers means that ours did less than it claims."""
    lines = 0
    try:
        with open(place.access_log, "rb") as file:
            while chunk := file.read(1 << 20):
                lines += chunk.count(b"\n")
    except FileNotFoundError:
        return ["there is no access log"]
    if lines < requests:
        return [f"the access log has {lines} lines for at least {requests} requests"]
    return []


def describe_errors(errors: dict[str, int]) -> str:
    names = {"status": "non-2xx"}
    return ", ".join(f"{count} {names.get(kind, kind)}" for kind, count in errors.items() if count)


def portable(commands: list[list[str]], place: Place, cell: Cell) -> list[str]:
    """The commands as they read on any machine: without the directories of this one, and without taskset."""
    out: list[str] = []
    for command in commands:
        out += ["&", *command] if out else command
    out = [part for at, part in enumerate(out) if not _is_taskset(out, at)]
    directories = (
        (place.work, "TMP/"),
        (place.venv(cell) / "bin", ""),
        (place.binary.parent, "bin/"),
        (place.root, ""),
    )
    for directory, name in directories:
        out = [part.replace(f"{directory}/", name) for part in out]
    return [part.replace(str(place.venv(cell)), "VENV").replace(str(place.root), ".") for part in out]


def _is_taskset(parts: list[str], at: int) -> bool:
    """Whether a part is one of the three of "taskset -c CORES"."""
    return any(parts[start : start + 2] == ["taskset", "-c"] for start in range(max(0, at - 2), at + 1))


def as_json(result: Round) -> dict[str, Any]:
    """A round as it goes into the results file."""
    return {**result.__dict__, "valid": result.valid}


def from_json(data: dict[str, Any]) -> Round:
    return Round(**{key: value for key, value in data.items() if key != "valid"})
