"""Turns rounds into Markdown, and leaves nothing out."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from . import overview
from .cell import OURS, Cell
from .measure import Round, describe_errors
from .overview import one_line
from .results import RATIOS, WINS, Duel, Figure, Results, fight, winners

# Heading, how to get it, decimals.
FIGURES: tuple[tuple[str, Figure, int], ...] = (
    ("requests/s", lambda r: r.rps, 0),
    ("CPU µs/request", lambda r: r.cpu_us, 1),
    ("p50 ms", lambda r: r.p50_us / 1e3, 2),
    ("p99 ms", lambda r: r.p99_us / 1e3, 2),
    ("p99.9 ms", lambda r: r.p999_us / 1e3, 2),
    ("PSS MB", lambda r: r.pss_kb / 1024, 1),
)
GOODPUT: tuple[str, Figure, int] = ("goodput %", lambda r: 100 * r.goodput, 1)
IDLE: tuple[str, Figure, int] = ("idle PSS MB", lambda r: r.idle_kb / 1024, 1)

# More of a CPU than this taken by other work, or by the hypervisor, is called out.
DISTURBED = 0.10
# A load this busy, while the server is not, means that its core set the figure.
SATURATED = 0.97


def spread(values: list[float], decimals: int) -> str:
    """Minimum, median in bold, maximum; a dash for what was not measured."""
    if not any(values):
        return "-"
    low, middle, high = (f"{v:,.{decimals}f}" for v in (min(values), median(values), max(values)))
    return f"{low} / **{middle}** / {high}"


def figures_of(rounds: Iterable[Round]) -> tuple[tuple[str, Figure, int], ...]:
    rounds = list(rounds)
    more = ((GOODPUT, "capacity"), (IDLE, "idle_kb"))
    return (*FIGURES, *(figure for figure, of in more if any(getattr(r, of) for r in rounds)))


def server_row(name: str, rounds: list[Round], figures: tuple[tuple[str, Figure, int], ...] = FIGURES) -> str:
    ran = [r for r in rounds if not r.failure]
    if not rounds:
        return f"| {name} | not measured |" + " |" * len(figures)
    if not ran:
        return f"| {name} | **FAILED**: {one_line(rounds[0].failure)} |" + " |" * len(figures)
    cells = [spread([figure(r) for r in ran], decimals) for _, figure, decimals in figures]
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


def described(cell: Cell) -> str:
    connections = f"{cell.connections} connection{'s' if cell.connections != 1 else ''}"
    workers = f", {cell.workers} workers" if cell.workers != 1 else ""
    where = "" if cell.directory == "benchmarks/apps" else f" in `{cell.directory}`"
    newer = "" if cell.environment == "peers" else f" Python of the environment `{cell.environment}`."
    load = cell.script if cell.load == "wrk" else cell.load
    text = f"`{cell.app}`{where} ({cell.interface}), {connections}{workers}, `{load}`, `{cell.path}`.{newer}"
    return f"{cell.what} {text}" if cell.what else text


def cell_section(cell: Cell, results: Results) -> list[str]:
    figures = figures_of(r for r in results.rounds if r.cell == cell.name)
    lines = [
        f"### {cell.name}",
        "",
        described(cell),
        "",
        "| server | " + " | ".join(heading for heading, _, _ in figures) + " | errors |",
        "|---|" + "---|" * (len(figures) + 1),
    ]
    shown = [name for name in cell.servers if results.of(cell.name, name)]
    lines += [server_row(name, results.of(cell.name, name), figures) for name in shown]
    peers = [name for name in shown if name != OURS]
    if results.of(cell.name, OURS) and peers:
        shown_here = [heading.removesuffix(" MB").removesuffix(" %") for heading, _, _ in figures]
        headings = [heading for heading, _ in RATIOS if heading not in ("idle PSS", "goodput") or heading in shown_here]
        lines += [
            "",
            f"| ours/peer | {' | '.join(headings)} | rounds won ({WINS[cell.wins][0]}) |",
            "|---|" + "---|" * (len(headings) + 1),
        ]
        for name in peers:
            duel = fight(cell, results, name)
            values = [duel.ratio(heading) for heading in headings]
            texts = ["-" if value is None else f"{value:.2f}" for value in values]
            lines.append(f"| {name} | {' | '.join(texts)} | {won_text(duel, len(results.of(cell.name, name)))} |")
    lines += ["", *notes(cell, results)]
    return lines


def won_text(duel: Duel, rounds: int) -> str:
    if not duel.comparable:
        return "not comparable"
    left = rounds - duel.comparable
    return f"{duel.won} of {duel.comparable}" + (f" ({left} not comparable)" if left else "")


def notes(cell: Cell, results: Results) -> list[str]:
    rounds = [r for r in results.rounds if r.cell == cell.name]
    lines = []
    first = winners(cell, results)
    if first:
        each = ", ".join(f"{number} {server}" for number, server in first.items())
        lines.append(f"First in each round ({WINS[cell.wins][0]}): {each}.")
    disturbed = [r.others for r in rounds if not r.failure and r.others > DISTURBED]
    if disturbed:
        lines.append(
            f"Other work took up to {max(disturbed):.2f} CPUs in {len(disturbed)} of {len(rounds)} measurements "
            f"(median {median(disturbed):.2f}): take the figures as noisy."
        )
    limited = sorted({r.server for r in rounds if r.load_cores > SATURATED > r.cores})
    if limited:
        full = f"{cell.load}'s core was full before the server's with {', '.join(limited)}"
        lines.append(f"{full}: it could have answered more{elsewhere(cell, results)}.")
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


def elsewhere(cell: Cell, results: Results) -> str:
    """Where a lighter load was put on the same, in this run."""
    name = f"{cell.name}-discarded"
    return f", see {name}" if any(r.cell == name for r in results.rounds) else ""


def commands_section(results: Results) -> list[str]:
    """Each distinct command line once, with the cells that it served; ports differ in every round."""
    lines = ["## Command lines", "", "Each behind `taskset -c CORE`, in the folder of the application.", ""]
    shown = set()
    for r in results.rounds:
        if r.command and (r.cell, r.server) not in shown:
            shown.add((r.cell, r.server))
            lines.append(f"- {r.cell}, {r.server}: `{' '.join(r.command)}`")
    return lines


def markdown(results: Results, cells: list[Cell], plots: Iterable[tuple[str, str]] = ()) -> str:
    """The whole report, less the goals. `plots`: title and path of each image, relative to the report."""
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
    lines += overview.cells_section(results, cells)
    lines += overview.losses_section(results, cells)
    lines += overview.failures_section(results)
    images = [f"![{title}]({path})" for title, path in plots]
    if images:
        lines += ["## Plots", "", *(line for image in images for line in (image, ""))]
    lines += ["## Cell by cell", ""]
    for cell in cells:
        lines += cell_section(cell, results)
    lines += commands_section(results)
    return "\n".join(lines) + "\n"
