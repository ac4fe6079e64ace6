"""The figures behind the plots, without any drawing."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from .cell import OURS, Cell
from .results import Figure, Results


@dataclass(frozen=True)
class Bar:
    """One server in one cell: its median, and the least and most of the rounds."""

    server: str
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Line:
    """One server over several cells: a point for each that it ran in."""

    server: str
    x: list[int]
    y: list[float]


def bar(results: Results, cell: str, server: str, figure: Figure) -> Bar | None:
    """None when the server has no faultless round in the cell."""
    values = [figure(r) for r in results.of(cell, server) if r.valid]
    if not values or not any(values):
        return None
    return Bar(server, min(values), median(values), max(values))


def throughput(results: Results, cells: list[Cell]) -> dict[str, list[Bar]]:
    """Requests/s of every server, ours first, the others from fast to slow; cells without ours are left out."""
    out = {}
    for cell in cells:
        ours = bar(results, cell.name, OURS, lambda r: r.rps)
        others = [bar(results, cell.name, peer, lambda r: r.rps) for peer in cell.peers]
        known = sorted((each for each in others if each), key=lambda each: -each.middle)
        if ours and known:
            out[cell.name] = [ours, *known]
    return out


def over_connections(results: Results, cells: list[Cell], app: str) -> list[Line]:
    """Requests/s of every server over the number of connections, for the plain cells of one application."""
    plain = [cell for cell in cells if cell.app == app and cell.script == "get.lua" and cell.path == "/"]
    plain = [cell for cell in plain if cell.environment == "peers" and cell.workers == 1]
    plain.sort(key=lambda cell: cell.connections)
    lines = []
    for server in dict.fromkeys(name for cell in plain for name in cell.servers):
        points = [(cell.connections, bar(results, cell.name, server, lambda r: r.rps)) for cell in plain]
        known = [(connections, each.middle) for connections, each in points if each]
        if len(known) > 1:
            lines.append(Line(server, [x for x, _ in known], [y for _, y in known]))
    return lines


def latencies(results: Results, cell: Cell) -> dict[str, tuple[float, float, float]]:
    """p50, p99 and p99.9 of every server in milliseconds, medians of the rounds; ours first, then by p99."""
    found = {}
    for server in cell.servers:
        valid = [r for r in results.of(cell.name, server) if r.valid and r.p99_us]
        if valid:
            found[server] = (
                median(r.p50_us for r in valid) / 1e3,
                median(r.p99_us for r in valid) / 1e3,
                median(r.p999_us for r in valid) / 1e3,
            )
    return dict(sorted(found.items(), key=lambda entry: (entry[0] != OURS, entry[1][1])))


def memory(results: Results, cells: list[Cell], app: str) -> list[Line]:
    """MB of PSS after the load over the number of workers, of the cells that are about memory."""
    about = sorted(
        (cell for cell in cells if cell.wins == "pss" and cell.app == app and not cell.options),
        key=lambda cell: cell.workers,
    )
    lines = []
    for server in dict.fromkeys(name for cell in about for name in cell.servers):
        points = [(cell.workers, bar(results, cell.name, server, lambda r: r.pss_kb / 1024)) for cell in about]
        known = [(workers, each.middle) for workers, each in points if each]
        if known:
            lines.append(Line(server, [x for x, _ in known], [y for _, y in known]))
    return lines
