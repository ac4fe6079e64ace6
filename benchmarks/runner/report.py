"""Turns rounds into Markdown and JSON, and leaves nothing out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .cells import OURS, Cell
from .measure import Round, as_json, describe_errors, from_json

Figure = Callable[[Round], float]

# Heading, how to get it, decimals.
FIGURES: tuple[tuple[str, Figure, int], ...] = (
    ("requests/s", lambda r: r.rps, 0),
    ("CPU µs/request", lambda r: r.cpu_us, 1),
    ("p50 ms", lambda r: r.p50_us / 1e3, 2),
    ("p99 ms", lambda r: r.p99_us / 1e3, 2),
    ("p99.9 ms", lambda r: r.p999_us / 1e3, 2),
    ("PSS MB", lambda r: r.pss_kb / 1024, 1),
)
RATIOS: tuple[tuple[str, Figure], ...] = (
    ("requests/s", lambda r: r.rps),
    ("CPU/request", lambda r: r.cpu_us),
    ("p50", lambda r: r.p50_us),
    ("p99", lambda r: r.p99_us),
    ("p99.9", lambda r: r.p999_us),
    ("PSS", lambda r: r.pss_kb),
)

# More of a CPU than this taken by other work, or by the hypervisor, is called out.
DISTURBED = 0.10
# wrk this busy, while the server is not, means that wrk's core set the figure.
SATURATED = 0.97


@dataclass
class Results:
    """One run: what is in the JSON file."""

    machine: dict[str, str]
    settings: dict[str, str]
    rounds: list[Round]
    interrupted: bool = False

    def of(self, cell: str, server: str) -> list[Round]:
        return [r for r in self.rounds if r.cell == cell and r.server == server]


@dataclass(frozen=True)
class Duel:
    """Ours against one peer in one cell."""

    ratios: list[tuple[str, float | None]]  # heading and median over the rounds of ours/peer
    won: int
    comparable: int  # rounds in which the peer gave good answers only

    @property
    def rps_ratio(self) -> float | None:
        return self.ratios[0][1]


def duel(ours: list[Round], theirs: list[Round]) -> Duel:
    """Pairs the rounds by number.

    A round is won by more requests/s. One in which ours failed or had errors
    is lost; one in which the peer did is not compared, so nobody wins by the
    other's failure to start.
    """
    by_number = {r.number: r for r in ours}
    pairs = [(by_number[r.number], r) for r in theirs if r.number in by_number and r.valid]
    good = [(a, b) for a, b in pairs if a.valid]
    ratios: list[tuple[str, float | None]] = []
    for heading, figure in RATIOS:
        values = [figure(a) / figure(b) for a, b in good if figure(b)]
        ratios.append((heading, median(values) if values else None))
    return Duel(ratios, sum(a.rps > b.rps for a, b in good), len(pairs))


def spread(values: list[float], decimals: int) -> str:
    """Minimum, median in bold, maximum; a dash for what was not measured."""
    if not any(values):
        return "-"
    low, middle, high = (f"{v:,.{decimals}f}" for v in (min(values), median(values), max(values)))
    return f"{low} / **{middle}** / {high}"


def server_row(name: str, rounds: list[Round]) -> str:
    ran = [r for r in rounds if not r.failure]
    if not rounds:
        return f"| {name} | not measured |" + " |" * len(FIGURES)
    if not ran:
        return f"| {name} | **FAILED**: {one_line(rounds[0].failure)} |" + " |" * len(FIGURES)
    cells = [spread([figure(r) for r in ran], decimals) for _, figure, decimals in FIGURES]
    return f"| {name} | {' | '.join(cells)} | {errors_text(rounds)} |"


def errors_text(rounds: list[Round]) -> str:
    total: dict[str, int] = {}
    for r in rounds:
        for kind, count in r.errors.items():
            total[kind] = total.get(kind, 0) + count
    parts = [describe_errors(total)] if any(total.values()) else []
    failed = [r for r in rounds if r.failure]
    if failed:
        parts.append(f"**{len(failed)} of {len(rounds)} rounds FAILED**: {one_line(failed[0].failure)}")
    return "; ".join(parts) or "0"


def one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:300]


def described(cell: Cell) -> str:
    connections = f"{cell.connections} connection{'s' if cell.connections != 1 else ''}"
    return f"`{cell.app}` ({cell.interface}), {connections}, `{cell.script}`, `{cell.path}`."


def cell_section(cell: Cell, results: Results) -> list[str]:
    lines = [
        f"### {cell.name}",
        "",
        described(cell),
        "",
        "| server | " + " | ".join(heading for heading, _, _ in FIGURES) + " | errors |",
        "|---|" + "---|" * (len(FIGURES) + 1),
    ]
    shown = [name for name in cell.servers if results.of(cell.name, name)]
    lines += [server_row(name, results.of(cell.name, name)) for name in shown]
    ours = results.of(cell.name, OURS)
    peers = [name for name in shown if name != OURS]
    if ours and peers:
        lines += [
            "",
            "| ours/peer | " + " | ".join(heading for heading, _ in RATIOS) + " | rounds won |",
            "|---|" + "---|" * (len(RATIOS) + 1),
        ]
        for name in peers:
            fight = duel(ours, results.of(cell.name, name))
            texts = ["-" if value is None else f"{value:.2f}" for _, value in fight.ratios]
            lines.append(f"| {name} | {' | '.join(texts)} | {won_text(fight, len(results.of(cell.name, name)))} |")
    lines += ["", *notes(cell, results)]
    return lines


def won_text(fight: Duel, rounds: int) -> str:
    if not fight.comparable:
        return "not comparable"
    left = rounds - fight.comparable
    return f"{fight.won} of {fight.comparable}" + (f" ({left} not comparable)" if left else "")


def notes(cell: Cell, results: Results) -> list[str]:
    rounds = [r for r in results.rounds if r.cell == cell.name]
    lines = []
    disturbed = [r.others for r in rounds if not r.failure and r.others > DISTURBED]
    if disturbed:
        lines.append(
            f"Other work took up to {max(disturbed):.2f} CPUs in {len(disturbed)} of {len(rounds)} measurements "
            f"(median {median(disturbed):.2f}): take the figures as noisy."
        )
    limited = sorted({r.server for r in rounds if r.load_cores > SATURATED > r.cores})
    if limited:
        lines.append(f"wrk's core was full before the server's with {', '.join(limited)}: it could have answered more.")
    if not cell.latency:
        lines.append(
            "No latencies: wrk's correction for coordinated omission makes them meaningless when it pipelines."
        )
    seen = set()
    for r in rounds:
        for note in r.notes:
            if (r.server, note) not in seen:
                seen.add((r.server, note))
                lines.append(f"{r.server}, round {r.number}: {note}.")
    if not lines:
        return []
    return [f"- {line}" for line in lines] + [""]


def markdown(results: Results, cells: list[Cell]) -> str:
    """The whole report, less the goals."""
    lines = ["# Benchmark results", ""]
    if results.interrupted:
        lines += ["**The run was interrupted; what follows is what was measured before.**", ""]
    lines += [
        "Every figure is minimum / **median** / maximum of the rounds. Ratios are ours divided by the peer's,",
        "the median of the rounds' ratios; for requests/s above 1 is better, for all others below 1. The method is in",
        "`benchmarks/README.md`.",
        "",
        "| | |",
        "|---|---|",
    ]
    lines += [f"| {name} | {one_line(value)} |" for name, value in {**results.machine, **results.settings}.items()]
    lines.append("")
    for cell in cells:
        lines += cell_section(cell, results)
    lines += ["## Command lines", "", "Each behind `taskset -c CORE`, in `benchmarks/apps`.", ""]
    shown: dict[str, str] = {}
    for r in results.rounds:
        if r.command:
            shown.setdefault(f"{r.cell}, {r.server}", " ".join(r.command[3:]))
    lines += [f"- {name}: `{command}`" for name, command in shown.items()]
    return "\n".join(lines) + "\n"


def save(results: Results, path: Path) -> None:
    """Writes all raw rounds. Replaces the file in one step, so that Ctrl-C leaves a whole one."""
    data = {
        "machine": results.machine,
        "settings": results.settings,
        "interrupted": results.interrupted,
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
        return Results(data["machine"], data["settings"], rounds, data["interrupted"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"cannot read results from {path.name}: {error}") from error
