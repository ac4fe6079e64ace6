"""One round: warm-up, load, and what it cost the server."""

from __future__ import annotations

import json
import resource
import subprocess
from dataclasses import dataclass, field
from typing import Any

from .cells import OURS, Cell
from .processes import TICK
from .servers import Place, Server, StartError, access_log, last_line, log_tail, running

WARM_UP_SECONDS = 1
WRK_GRACE_SECONDS = 15
ERRORS = ("connect", "read", "write", "timeout", "status")


class MeasureError(Exception):
    """wrk gave no figures."""


@dataclass(frozen=True)
class Wrk:
    """What wrk said (wrk/report.lua). Times in microseconds."""

    requests: int
    duration_us: int
    bytes: int
    errors: dict[str, int]
    p50_us: int
    p90_us: int
    p99_us: int
    p999_us: int
    max_us: int

    @property
    def rps(self) -> float:
        return self.requests / (self.duration_us / 1e6) if self.duration_us else 0.0


def parse_wrk(output: str) -> Wrk:
    """Reads the line that wrk/report.lua prints. Raises MeasureError when there is none."""
    for line in output.splitlines():
        if line.startswith("WRK "):
            try:
                data: dict[str, int] = json.loads(line[4:])
                errors = {kind: data.pop(kind) for kind in ERRORS}
                return Wrk(errors=errors, **data)
            except (ValueError, KeyError, TypeError) as error:
                raise MeasureError(f"cannot read wrk's figures: {error}: {line[:200]}") from error
    tail = " / ".join(line.strip() for line in output.splitlines()[-3:] if line.strip())
    raise MeasureError(f"cannot read wrk's figures: it printed none: {tail[:300]}")


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
    load_cores: float = 0.0  # CPUs that wrk kept busy
    p50_us: int = 0
    p90_us: int = 0
    p99_us: int = 0
    p999_us: int = 0
    max_us: int = 0
    pss_kb: int = 0
    requests: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    processes: int = 0
    others: float = 0.0  # CPUs that everything else kept busy meanwhile, the hypervisor's other guests included
    notes: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)  # the end of what a server that failed had to say

    @property
    def error_count(self) -> int:
        return sum(self.errors.values())

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


def wrk_command(place: Place, cell: Cell, port: int, seconds: int) -> list[str]:
    return [
        *("taskset", "-c", place.load_cores),
        *("wrk", "-t", "1", "-c", str(cell.connections), "-d", f"{seconds}s"),
        *("-s", str(place.wrk / cell.script), f"http://127.0.0.1:{port}{cell.path}"),
    ]


def run_wrk(place: Place, cell: Cell, port: int, seconds: int) -> Wrk:
    """Puts the cell's load on a port. Raises MeasureError."""
    command = wrk_command(place, cell, port, seconds)
    try:
        # subprocess.run ends wrk on a timeout and on Ctrl-C.
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + WRK_GRACE_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise MeasureError(f"cannot run {error.filename}: install wrk and util-linux") from error
    except subprocess.TimeoutExpired as error:
        raise MeasureError(f"cannot measure: wrk did not end within {error.timeout:.0f} s") from error
    return parse_wrk(done.stdout.decode(errors="replace"))


def measure(place: Place, cell: Cell, server: Server, number: int, seconds: int, warm_up: bool = True) -> Round:
    """Measures a running server. Failures are in the result, not raised."""
    result = Round(cell.name, server.name, number, command=portable(server.command, place))
    try:
        if warm_up:
            run_wrk(place, cell, server.ports.http, WARM_UP_SECONDS)
        cpu, busy, children = server.tree.cpu(), machine_busy(), _children_cpu()
        wrk = run_wrk(place, cell, server.ports.http, seconds)
        used = server.tree.cpu() - cpu
        elapsed = wrk.duration_us / 1e6
        load = _children_cpu() - children
        others = machine_busy() - busy - used - load
    except MeasureError as error:
        result.failure = str(error)
        return result
    if server.tree.process.poll() is not None:
        result.log = log_tail(server.log)
        result.failure = f"it exited with {server.tree.process.returncode} under load: {last_line(result.log)}"
        return result
    result.rps = wrk.rps
    result.requests = wrk.requests
    result.errors = wrk.errors
    result.cpu_us = used * 1e6 / wrk.requests if wrk.requests else 0.0
    result.cores = used / elapsed if elapsed else 0.0
    result.load_cores = load / elapsed if elapsed else 0.0
    result.others = max(0.0, others / elapsed) if elapsed else 0.0
    if cell.latency:
        result.p50_us, result.p90_us, result.p99_us = wrk.p50_us, wrk.p90_us, wrk.p99_us
        result.p999_us, result.max_us = wrk.p999_us, wrk.max_us
    result.pss_kb = server.tree.pss()
    result.processes = len(server.tree.stats())
    if not wrk.requests:
        result.failure = f"no request was answered ({describe_errors(wrk.errors) or 'no errors either'})"
    return result


def round_of(place: Place, cell: Cell, name: str, number: int, seconds: int) -> Round:
    """Starts a server, measures it, ends it."""
    try:
        with running(name, place, cell) as server:
            result = measure(place, cell, server, number, seconds)
    except StartError as error:
        return Round(cell.name, name, number, failure=str(error), log=error.tail)
    if name == OURS and not result.failure:
        result.notes += check_access_log(place, result.requests)
    return result


def check_access_log(place: Place, requests: int) -> list[str]:
    """After the server ended: a log with fewer lines than answers means that ours did less than it claims."""
    lines = 0
    try:
        with open(access_log(place), "rb") as file:
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


def portable(command: list[str], place: Place) -> list[str]:
    """The command as it reads on any machine: without the directories of this one."""
    out = []
    for part in command:
        for directory, name in ((place.work, "TMP/"), (place.venv / "bin", ""), (place.binary.parent, "bin/")):
            part = part.replace(f"{directory}/", name)
        out.append(part)
    return out


def as_json(result: Round) -> dict[str, Any]:
    """A round as it goes into the results file."""
    return {**result.__dict__, "valid": result.valid}


def from_json(data: dict[str, Any]) -> Round:
    return Round(**{key: value for key, value in data.items() if key != "valid"})
