"""The rounds of a run, the file that they are kept in, and the comparison of two servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .cell import OURS, Cell
from .measure import Round, as_json, from_json

Figure = Callable[[Round], float]

# Heading and how to get it.
RATIOS: tuple[tuple[str, Figure], ...] = (
    ("requests/s", lambda r: r.rps),
    ("CPU/request", lambda r: r.cpu_us),
    ("p50", lambda r: r.p50_us),
    ("p99", lambda r: r.p99_us),
    ("p99.9", lambda r: r.p999_us),
    ("goodput", lambda r: r.goodput),
    ("PSS", lambda r: r.pss_kb),
    ("idle PSS", lambda r: r.idle_kb),
)
# What can decide a round (Cell.wins): the figure's heading, and whether more of it is better.
WINS = {"rps": ("requests/s", True), "p99": ("p99", False), "pss": ("PSS", False), "idle": ("idle PSS", False)}


@dataclass
class Results:
    """One run: what is in the JSON file. `plan` is what --resume needs: the cells, rounds and seconds asked for."""

    machine: dict[str, str]
    settings: dict[str, str]
    rounds: list[Round]
    interrupted: bool = False
    plan: dict[str, Any] = field(default_factory=dict)

    def of(self, cell: str, server: str) -> list[Round]:
        return [r for r in self.rounds if r.cell == cell and r.server == server]

    def done(self) -> set[tuple[str, str, int]]:
        return {(r.cell, r.server, r.number) for r in self.rounds}


@dataclass(frozen=True)
class Duel:
    """Ours against one peer in one cell."""

    ratios: list[tuple[str, float | None]]  # heading and median over the rounds of ours/peer
    lead: float | None  # the ratio of what decides, turned so that more than 1 is ours
    won: int
    comparable: int  # rounds in which the peer gave good answers only

    def ratio(self, heading: str) -> float | None:
        return dict(self.ratios)[heading]


def duel(ours: list[Round], theirs: list[Round], wins: str = "rps") -> Duel:
    """Pairs the rounds by number.

    A round is won by more requests/s, or what else the cell is about. One in which ours failed or had errors
    is lost; one in which the peer did is not compared, so nobody wins by the other's failure to start.
    """
    by_number = {r.number: r for r in ours}
    pairs = [(by_number[r.number], r) for r in theirs if r.number in by_number and r.valid]
    good = [(a, b) for a, b in pairs if a.valid]
    ratios: list[tuple[str, float | None]] = []
    for heading, figure in RATIOS:
        values = [figure(a) / figure(b) for a, b in good if figure(b)]
        ratios.append((heading, median(values) if values else None))
    heading, more = WINS[wins]
    figure = dict(RATIOS)[heading]
    won = sum((figure(a) > figure(b)) if more else (figure(a) < figure(b)) for a, b in good)
    ratio = dict(ratios)[heading]
    lead = ratio if more or not ratio else 1 / ratio
    return Duel(ratios, lead, won, len(pairs))


def fight(cell: Cell, results: Results, peer: str) -> Duel:
    return duel(results.of(cell.name, OURS), results.of(cell.name, peer), cell.wins)


def winners(cell: Cell, results: Results) -> dict[int, str]:
    """Who won each round, of all servers whose round was faultless."""
    heading, more = WINS[cell.wins]
    figure = dict(RATIOS)[heading]
    best: dict[int, Round] = {}
    for r in results.rounds:
        if r.cell != cell.name or not r.valid or not figure(r):
            continue
        other = best.get(r.number)
        if other is None or ((figure(r) > figure(other)) if more else (figure(r) < figure(other))):
            best[r.number] = r
    return {number: best[number].server for number in sorted(best)}


def save(results: Results, path: Path) -> None:
    """Writes all raw rounds. Replaces the file in one step, so that Ctrl-C leaves a whole one."""
    data = {
        "machine": results.machine,
        "settings": results.settings,
        "interrupted": results.interrupted,
        "plan": results.plan,
        "rounds": [as_json(r) for r in results.rounds],
    }
    new = path.with_suffix(".json.new")
    new.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)


def load(path: Path) -> Results:
    """Reads what `save` wrote. Raises OSError, or ValueError when it is something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        rounds = [from_json(entry) for entry in data["rounds"]]
        return Results(data["machine"], data["settings"], rounds, data["interrupted"], data.get("plan", {}))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"cannot read results from {path.name}: {error}") from error
