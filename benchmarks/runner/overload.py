"""More requests than a server can answer, at a fixed rate: what it makes of them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from . import wrk
from .cell import Cell
from .place import Place

PATIENCE_SECONDS = 30.0  # for what was asked at the end
UNCOUNTED_SECONDS = 2.0  # at most, until the queue is as long as it gets


def capacity_seconds(seconds: float) -> float:
    """How long the capacity is measured, before a load of so many seconds."""
    return seconds / 4


def command(place: Place, cell: Cell, port: int, rate: float, seconds: float) -> list[str]:
    program = str(Path(__file__).with_name("openloop.py"))
    numbers = (rate, seconds, min(UNCOUNTED_SECONDS, seconds / 4), PATIENCE_SECONDS)
    return [
        *("taskset", "-c", place.load_cores, sys.executable, program, str(port), cell.path),
        *(f"{number:.3f}" for number in numbers),
    ]


def run(place: Place, cell: Cell, port: int, seconds: float) -> wrk.Wrk:
    """Measures what a server can do (by wrk), and asks for `cell.overload` times that. Raises MeasureError."""
    before = wrk.run(place, cell, port, capacity_seconds(seconds))
    if not before.requests or any(before.errors.values()):
        raise wrk.MeasureError("cannot overload it: there were errors while its capacity was measured")
    line = command(place, cell, port, cell.overload * before.rps, seconds)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=seconds + PATIENCE_SECONDS + wrk.GRACE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise wrk.MeasureError("cannot measure: the load did not end in time") from error
    finally:
        process.kill()
        process.communicate()
    return replace(wrk.parse(output.decode(errors="replace")), capacity=before.rps)
