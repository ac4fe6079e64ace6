"""The first pages of a report: one line per cell, where we lose, what did not run."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from .cell import OURS, Cell
from .reasons import reason
from .results import RATIOS, WINS, Duel, Results, fight, winners

ENOUGH = 5 / 7  # of the rounds, to call a cell won
WORSE = 1.05  # a ratio that is called out where the cell itself was won


@dataclass(frozen=True)
class Loss:
    """A cell that a peer wins, or does not clearly lose. `lead` is None when ours had no good round."""

    cell: str
    peer: str
    figure: str
    lead: float | None
    won: int
    comparable: int

    @property
    def reason(self) -> str:
        if self.lead is None:
            return "ours failed or had errors: see the cell"
        return reason(self.cell, self.peer)


def is_loss(duel: Duel) -> bool:
    """Fewer than five of seven rounds won, or a median below the peer's. Nothing comparable is no loss."""
    if not duel.comparable:
        return False
    return duel.lead is None or duel.lead < 1 or duel.won < ENOUGH * duel.comparable - 1e-9


def losses(results: Results, cells: list[Cell]) -> list[Loss]:
    """All of them, the worst first."""
    found = []
    for cell in cells:
        if not any(results.of(cell.name, OURS)):
            continue
        for peer in cell.peers:
            duel = fight(cell, results, peer)
            if is_loss(duel):
                heading = WINS[cell.wins][0]
                found.append(Loss(cell.name, peer, heading, duel.lead, duel.won, duel.comparable))
    return sorted(found, key=lambda loss: loss.lead or 0.0)


def one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:300]


def cells_section(results: Results, cells: list[Cell]) -> list[str]:
    """One line per cell: ours, and the peer that came nearest or went past."""
    lines = [
        "## All cells",
        "",
        "The lead is ours against the strongest peer of the cell, in what the cell is about (requests/s, or for mixed",
        "load the short requests' p99, or memory): more than 1 is ours. Behind it, rounds won against that peer, and",
        "the rounds in which we were the first of all.",
        "",
        "| cell | ours req/s | CPU µs | p99 ms | strongest peer | lead | won against it | first of all |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        ours = [r for r in results.of(cell.name, OURS) if not r.failure]
        duels = [(peer, fight(cell, results, peer)) for peer in cell.peers]
        known = [(duel.lead or 0.0, peer, duel) for peer, duel in duels if duel.comparable]
        first = list(winners(cell, results).values())
        cpu = f"{median(r.cpu_us for r in ours):.1f}" if ours else "-"
        p99 = f"{median(r.p99_us for r in ours) / 1e3:.2f}" if ours and cell.latency else "-"
        rps = f"{median(r.rps for r in ours):,.0f}" if ours else "**FAILED**" if results.of(cell.name, OURS) else "-"
        if known:
            _, peer, duel = min(known, key=lambda entry: entry[0])
            lead = f"{duel.lead:.2f}" if duel.lead is not None else "-"
            mark = "**" if is_loss(duel) else ""
            against = f"{peer} | {mark}{lead}{mark} | {duel.won} of {duel.comparable}"
        else:
            against = "none comparable | - | -"
        lines.append(f"| {cell.name} | {rps} | {cpu} | {p99} | {against} | {first.count(OURS)} of {len(first)} |")
    return [*lines, ""]


def losses_section(results: Results, cells: list[Cell]) -> list[str]:
    found = losses(results, cells)
    lines = ["## Where we lose", ""]
    if found:
        lines += [
            "Every cell and peer with fewer than 5 of 7 rounds won, or a median behind the peer's.",
            "",
            "| cell | peer | figure | lead | rounds won | likely reason |",
            "|---|---|---|---|---|---|",
        ]
        for loss in found:
            lead = "-" if loss.lead is None else f"{loss.lead:.2f}"
            lines.append(
                f"| {loss.cell} | {loss.peer} | {loss.figure} | {lead} | {loss.won} of {loss.comparable} "
                f"| {one_line(loss.reason)} |"
            )
    else:
        lines.append("In no cell of this run.")
    lines += ["", *minor_section(results, cells, {(loss.cell, loss.peer) for loss in found})]
    return lines


def minor_section(results: Results, cells: list[Cell], known: set[tuple[str, str]]) -> list[str]:
    """Cells that were won, but with another figure worse than the peer's."""
    lines = []
    for cell in cells:
        for peer in cell.peers:
            duel = fight(cell, results, peer)
            if (cell.name, peer) in known or not duel.comparable:
                continue
            worse = []
            for heading, _ in RATIOS:
                value = duel.ratio(heading)
                better = heading == "requests/s"
                if value and (value < 1 / WORSE if better else value > WORSE):
                    worse.append(f"{heading} {value:.2f}")
            if worse:
                lines.append(f"| {cell.name} | {peer} | {', '.join(worse)} |")
    if not lines:
        return []
    head = [
        f"Won, but more than {WORSE - 1:.0%} worse in another figure (ours divided by the peer's):",
        "",
        "| cell | peer | worse in |",
        "|---|---|---|",
    ]
    return [*head, *lines, ""]


def failures_section(results: Results) -> list[str]:
    """What could not be installed, started or measured: each server and reason once, with its cells."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for r in results.rounds:
        if r.failure:
            cells = found.setdefault((r.server, one_line(r.failure)), {})
            cells[r.cell] = cells.get(r.cell, 0) + 1
    if not found:
        return ["## What did not run", "", "Everything that was asked for ran.", ""]
    lines = ["## What did not run", "", "| server | cells (rounds) | why |", "|---|---|---|"]
    for (server, why), cells in found.items():
        names = ", ".join(f"{cell} ({count})" for cell, count in cells.items())
        lines.append(f"| {server} | {names} | {why} |")
    return [*lines, ""]
