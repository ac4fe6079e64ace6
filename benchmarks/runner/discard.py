"""The load of cells with large bodies: benchmarks/discard, a Go program that throws them away."""

from __future__ import annotations

import math
import subprocess

from .cell import Cell
from .place import Place

BUILD_SECONDS = 300.0


def make(place: Place) -> str:
    """Builds the program, once per run. Why it cannot be, or ""."""
    if place.discard.exists():
        return ""
    line = ["go", "build", "-trimpath", "-o", str(place.discard), "./benchmarks/discard"]
    try:
        done = subprocess.run(line, cwd=place.root, capture_output=True, timeout=BUILD_SECONDS, check=False)
    except FileNotFoundError:
        return "there is no go; install Go, the version in go.mod or later (https://go.dev/dl)"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.decode(errors="replace").strip().splitlines() or ["go build said nothing"]
    return said[-1] if done.returncode else ""


def command(place: Place, cell: Cell, port: int, seconds: float) -> list[str]:
    """Its command line. Like wrk it gets more time than it needs, and `wrk.run` ends it."""
    return [
        *("taskset", "-c", place.load_cores),
        *(str(place.discard), "-c", str(cell.connections), "-d", f"{math.ceil(seconds) + 1}s"),
        *(("-timeout", f"{cell.patience}s") if cell.patience else ()),
        f"http://127.0.0.1:{port}{cell.path}",
    ]
