"""Running what a plan says, with progress, saving after each start of a server, so that a run can be resumed."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from .cell import Cell, select
from .cells import CELLS, SETS
from .measure import Load, Round, describe_errors, rounds_of
from .place import Place
from .plan import Clock, Unit, duration, left, units
from .results import Results, save

SHORT_PEERS = 2  # of each cell, with --short


def cells_of(names: str | None, short: bool) -> list[Cell]:
    """The cells of a run. Raises ValueError for a name that is none."""
    for name, members in SETS.items():
        names = names.replace(name, ",".join(members)) if names else names
    cells = select(CELLS, names, short)
    return [replace(cell, peers=cell.peers[:SHORT_PEERS]) for cell in cells] if short else cells


def plan_of(names: str | None, short: bool, only_peers: bool, rounds: int, load: Load) -> dict[str, Any]:
    """What the results file keeps, so that --resume goes on with the same."""
    return {
        "cells": names,
        "short": short,
        "only_peers": only_peers,
        "rounds": rounds,
        "seconds": load.seconds,
        "warm_up": load.warm_up,
    }


def units_of(plan: dict[str, Any]) -> tuple[list[Cell], list[Unit], Load]:
    """Cells, units and load of a plan. Raises ValueError when the file holds none, or one of another version."""
    try:
        cells = cells_of(plan["cells"], plan["short"])
        load = Load(float(plan["seconds"]), float(plan["warm_up"]))
        return cells, units(cells, int(plan["rounds"]), bool(plan["only_peers"])), load
    except (KeyError, TypeError) as error:
        raise ValueError(f"cannot resume: the results have no plan: {error!r}") from error


def progress(r: Round, rounds: int, rest: float | None = None) -> str:
    head = f"{r.cell:22s} round {r.number}/{rounds}  {r.server:22s}"
    tail = f"  [{duration(rest)} left]" if rest is not None else ""
    if r.failure:
        return f"{head} FAILED: {r.failure}{tail}"
    errors = f"  ERRORS: {describe_errors(r.errors)}" if r.error_count else ""
    noted = f"  ({'; '.join(r.notes)})" if r.notes else ""
    latency = (
        f"p50 {r.p50_us / 1e3:7.2f}  p99 {r.p99_us / 1e3:7.2f}  p99.9 {r.p999_us / 1e3:7.2f} ms  " if r.max_us else ""
    )
    figures = f"{r.rps:9,.0f} req/s  {r.cpu_us:7.1f} µs CPU  {latency}{r.pss_kb / 1024:6.1f} MB"
    return f"{head} {figures}{errors}{noted}{tail}"


def hopeless(results: Results, cell: Cell, server: str) -> str:
    """The failure of a server that failed twice in a cell, and is not tried again; "" while there is hope."""
    failures = [r.failure for r in results.of(cell.name, server) if r.failure]
    return failures[-1] if len(failures) >= 2 else ""


def measure_unit(place: Place, unit: Unit, load: Load, results: Results) -> list[Round]:
    """One start of one server, in the unit's cells that it can still do."""
    out = []
    tried = []
    for cell in unit.cells:
        why = hopeless(results, cell, unit.server)
        if why:
            out.append(Round(cell.name, unit.server, unit.number, failure=why))
        else:
            tried.append(cell)
    return out + (rounds_of(place, tried, unit.server, unit.number, load) if tried else [])


def run(place: Place, results: Results, path: Path) -> None:
    """Measures what the results do not have yet. Ctrl-C leaves them whole, and marked."""
    _, every, load = units_of(results.plan)
    todo = left(every, results.done())
    rounds = int(results.plan["rounds"])
    clock = Clock(todo, load)
    results.interrupted = True  # until it is through: a machine that goes down leaves the file so
    try:
        for unit in todo:
            began = time.monotonic()
            measured = measure_unit(place, unit, load, results)
            results.rounds += measured
            clock.done(unit, time.monotonic() - began)
            for r in measured:
                print(progress(r, rounds, clock.rest()), flush=True)
            save(results, path)
        results.interrupted = False
    except KeyboardInterrupt:
        print("interrupted; every server that was started has ended. To go on: compare.py --resume", file=sys.stderr)
    save(results, path)


def without_failures(results: Results) -> None:
    """Forgets the rounds that failed, so that they are tried again."""
    results.rounds = [r for r in results.rounds if not r.failure]
