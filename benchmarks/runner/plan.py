"""What a run has to do, in which order, and how long that takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .cell import OURS, Cell
from .measure import SETTLE_STEP, Load
from .overload import PATIENCE_SECONDS, capacity_seconds
from .servers import START_SECONDS, STOP_SECONDS
from .wrk import GRACE_SECONDS

# What starting, probing and ending a server takes, and what wrk takes beyond its load: seconds, from runs of many.
TYPICAL_START_AND_STOP = 0.9
TYPICAL_OVERHEAD = 0.08
ROUNDS = (7, 5, 3, 1)
LEAST_SECONDS = 0.7  # of load, before --budget gives up rounds for it
MOST_SECONDS = 4.0


@dataclass(frozen=True)
class Unit:
    """One start of one server, and what is measured while it runs: cells of one group, in one round."""

    number: int
    server: str
    cells: tuple[Cell, ...]

    def seconds(self, load: Load) -> float:
        """How long it should take."""
        settle = 3 * SETTLE_STEP if any(cell.workers > 1 or cell.wins == "pss" for cell in self.cells) else 0.0
        loads = sum(load.warm_up + load.of(cell) + beside(cell, load) + 2 * TYPICAL_OVERHEAD for cell in self.cells)
        return TYPICAL_START_AND_STOP + settle + loads

    def longest(self, load: Load) -> float:
        loads = sum(
            load.warm_up + load.of(c) + beside(c, load, PATIENCE_SECONDS) + 2 * GRACE_SECONDS for c in self.cells
        )
        return START_SECONDS + STOP_SECONDS + loads


def beside(cell: Cell, load: Load, waiting: float = 0.0) -> float:
    """What overload takes beside its load: the capacity is measured, and at the end what still waits is answered,
    by peers all of it."""
    if not cell.overload:
        return 0.0
    return capacity_seconds(load.of(cell)) + max(waiting, (cell.overload - 1) * load.of(cell))


def units(cells: Iterable[Cell], rounds: int, only_peers: bool = False) -> list[Unit]:
    """All units of a run. The rounds are the outer loop, so that what disturbs the machine for some
    minutes disturbs a round of some cells, not a cell; an interrupted run has all cells, with fewer rounds."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    out = []
    for number in range(1, rounds + 1):
        for group in groups.values():
            servers = dict.fromkeys(name for cell in group for name in cell.servers)
            out += [
                Unit(number, server, tuple(cell for cell in group if server in cell.servers))
                for server in servers
                if server != OURS or not only_peers
            ]
    return out


def left(every: Iterable[Unit], done: set[tuple[str, str, int]]) -> list[Unit]:
    """The units that have not been measured; `done` holds cell, server and round number."""
    return [unit for unit in every if any((c.name, unit.server, unit.number) not in done for c in unit.cells)]


def total(every: Iterable[Unit], load: Load) -> float:
    return sum(unit.seconds(load) for unit in every)


def warm_up(seconds: float) -> float:
    """A second, or less before a short load."""
    return min(1.0, max(0.2, seconds / 4))


def fit(cells: list[Cell], minutes: float, rounds: int | None, only_peers: bool = False) -> tuple[int, Load]:
    """The most rounds, and then the longest load, that fit into the minutes.

    Raises ValueError, with the minutes that are needed at least, when nothing does.
    """
    tried = (rounds,) if rounds else ROUNDS
    for number in tried:
        every = units(cells, number, only_peers)
        for tenths in range(int(MOST_SECONDS * 10), int(LEAST_SECONDS * 10) - 1, -1):
            load = Load(tenths / 10, warm_up(tenths / 10))
            if total(every, load) <= minutes * 60:
                return number, load
    every = units(cells, tried[-1], only_peers)
    need = total(every, Load(LEAST_SECONDS, warm_up(LEAST_SECONDS))) / 60
    raise ValueError(
        f"cannot fit {len(cells)} cells into {minutes:g} min: {tried[-1]} rounds of {LEAST_SECONDS} s "
        f"take {need:.1f}; name fewer with --cells"
    )


def duration(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


class Clock:
    """Says how long the rest of a run takes: its estimate, corrected by what the part that is done took."""

    def __init__(self, every: list[Unit], load: Load) -> None:
        self._load = load
        self._all = total(every, load)
        self._planned = 0.0
        self._took = 0.0

    def done(self, unit: Unit, took: float) -> None:
        self._planned += unit.seconds(self._load)
        self._took += took

    def rest(self) -> float:
        """Seconds. The estimate counts as two minutes of experience, so that one slow start does not frighten."""
        weight = 120.0
        pace = (self._took + weight) / (self._planned + weight)
        return max(0.0, self._all - self._planned) * pace
