"""The report of a run: who needed how long, and who won which rounds."""

from __future__ import annotations

import statistics
from typing import Any

from .servers import OURS, SERVERS


def render(result: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"# From a saved edit to its answer, {result['began']}",
        "",
        "Milliseconds from the closing of an edited file until the new text is served, by the server with its "
        f"reloader: of each round the median of {result['edits']} edits, and of {result['rounds']} rounds the least, "
        "the median and the most. "
        "See [benchmarks/reload](../reload/README.md).",
        "",
    ]
    for app, by_server in result["medians"].items():
        lines += [f"## {app}", "", "| server | least | median | most | rounds that we won |", "|---|---|---|---|---|"]
        for name, figures in sorted(by_server.items(), key=lambda item: middle(item[1])):
            measured = [1000 * figure for figure in figures if not isinstance(figure, str)]
            if not measured:
                lines.append(f"| {name} | | | | {figures[0].splitlines()[0]} |")
                continue
            won = "" if name == OURS else f"{wins(by_server.get(OURS, []), figures)} of {len(figures)}"
            lines.append(
                f"| {name} | {min(measured):.0f} | {statistics.median(measured):.0f} | {max(measured):.0f} | {won} |"
            )
        lines.append("")
    lines += ["## Servers", "", "| server | how it ran |", "|---|---|"]
    lines += [f"| {server.name} | {server.note} |" for server in SERVERS]
    lines += ["", "## Machine", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in result["machine"].items()]
    return "\n".join(lines) + "\n"


def middle(figures: list[Any]) -> float:
    measured = [figure for figure in figures if not isinstance(figure, str)]
    return statistics.median(measured) if measured else float("inf")


def wins(ours: list[Any], theirs: list[Any]) -> int:
    """Rounds in which we were faster; a round that could not be measured is nobody's."""
    return sum(
        mine < other for mine, other in zip(ours, theirs) if not isinstance(mine, str) and not isinstance(other, str)
    )
