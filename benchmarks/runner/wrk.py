"""Runs wrk, or who else makes the load of a cell and tells its figures as wrk does, and reads them."""

from __future__ import annotations

import json
import math
import select
import signal
import subprocess
from dataclasses import dataclass, field

from . import discard
from .cell import Cell
from .place import Place

GRACE_SECONDS = 15
ERRORS = ("connect", "read", "write", "timeout", "status")


class MeasureError(Exception):
    """The load gave no figures."""


@dataclass(frozen=True)
class Wrk:
    """What wrk said (wrk/report.lua), or benchmarks/discard. Times in microseconds.

    `classes`: what wrk/mixed.lua says of each class of requests: their number and percentiles. `capacity` and `refused`
    are overload.py's.
    """

    requests: int
    duration_us: int
    bytes: int
    errors: dict[str, int]
    p50_us: int
    p90_us: int
    p99_us: int
    p999_us: int
    max_us: int
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    capacity: float = 0.0
    refused: int = 0

    @property
    def rps(self) -> float:
        return self.requests / (self.duration_us / 1e6) if self.duration_us else 0.0


def parse(output: str) -> Wrk:
    """Reads the lines that wrk/report.lua and wrk/mixed.lua print. Raises MeasureError when there is none."""
    classes: dict[str, dict[str, int]] = {}
    for line in output.splitlines():
        kind, _, text = line.partition(" ")
        if kind not in ("WRK", "CLASS"):
            continue
        try:
            data = json.loads(text)
            if kind == "CLASS":
                classes[data.pop("name")] = data
                continue
            errors = {each: data.pop(each) for each in ERRORS}
            return Wrk(errors=errors, classes=classes, **data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MeasureError(f"cannot read the load's figures: {error}: {line[:200]}") from error
    tail = " / ".join(line.strip() for line in output.splitlines()[-3:] if line.strip())
    raise MeasureError(f"cannot read the load's figures: it printed none: {tail[:300]}")


def command(place: Place, cell: Cell, port: int, seconds: float) -> list[str]:
    """wrk's command line. It knows whole seconds only: it gets more than it needs, and `run` ends it."""
    return [
        *("taskset", "-c", place.load_cores),
        *("wrk", "-t", str(cell.load_threads), "-c", str(cell.connections), "-d", f"{math.ceil(seconds) + 1}s"),
        *(("--timeout", f"{cell.patience}s") if cell.patience else ()),
        *("-s", str(place.wrk / cell.script), f"http://127.0.0.1:{port}{cell.path}"),
    ]


# By Cell.load.
LOADS = {"wrk": command, "discard": discard.command}


def run(place: Place, cell: Cell, port: int, seconds: float) -> Wrk:
    """Puts the cell's load on a port. Raises MeasureError."""
    if cell.load == "discard" and not place.discard.exists():
        raise MeasureError("cannot measure: benchmarks/discard was not built; the report says why, above")
    line = LOADS[cell.load](place, cell, port, seconds)
    try:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise MeasureError(f"cannot run {error.filename}: install wrk and util-linux") from error
    try:
        assert process.stderr is not None
        # wrk/report.lua's setup() writes a line, as discard does. Before that, the signal would end it without a word.
        if not select.select([process.stderr], [], [], GRACE_SECONDS)[0]:
            raise subprocess.TimeoutExpired(line, GRACE_SECONDS)
        try:
            output, complaints = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            # As on Ctrl-C: it stops, and reports the time that it took.
            process.send_signal(signal.SIGINT)
            output, complaints = process.communicate(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise MeasureError(f"cannot measure: {cell.load} did not end within {GRACE_SECONDS} s") from error
    finally:
        process.kill()
        process.communicate()
    return parse((output + complaints.replace(b"READY\n", b"")).decode(errors="replace"))
