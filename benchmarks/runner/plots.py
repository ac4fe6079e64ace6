"""python -m runner.plots RESULTS.json FOLDER: draws the plots, and prints a line "TITLE<tab>FILE" for each.

Runs in the environment of the peers, which has matplotlib; the rest of the runner needs none.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .cell import OURS, Cell
from .cells import CELLS, FRAMEWORK_CELLS, HELLO_CELLS, SHAPE_CELLS, WORK_CELLS
from .plot_data import Bar, Line, latencies, memory, over_connections, throughput
from .results import Results, load

# Ours is the darkest, on screen and on grey paper; the others differ in lightness, hatch, marker and dash.
DARK = "#0b2f6b"
LIGHTS = ("#e8a33d", "#8fb8de", "#c9c9c9", "#b98fc4", "#9bc99b", "#e3c9a8", "#d99a9a", "#a8a8a8")
HATCHES = ("", "//", "..", "\\\\", "xx", "--", "||", "++")
MARKERS = ("s", "^", "v", "D", "P", "X", "<", ">")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 3)))


def pyplot() -> Any:
    importlib.import_module("matplotlib").use("Agg")
    plt = importlib.import_module("matplotlib.pyplot")
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.5})
    return plt


class Looks:
    """The same colour, hatch and marker for a server in all plots of a run."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, server: str) -> int:
        return self._numbers.setdefault(server, len(self._numbers)) % len(LIGHTS)

    def bar(self, server: str) -> dict[str, Any]:
        if server == OURS:
            return {"color": DARK, "edgecolor": "black"}
        at = self.number(server)
        return {"color": LIGHTS[at], "hatch": HATCHES[at], "edgecolor": "#444444", "linewidth": 0.6}

    def line(self, server: str) -> dict[str, Any]:
        if server == OURS:
            return {"color": DARK, "marker": "o", "linewidth": 2.6, "zorder": 5}
        at = self.number(server)
        edge = {"markeredgecolor": "#444444", "markeredgewidth": 0.6}
        return {"color": LIGHTS[at], "marker": MARKERS[at], "linestyle": DASHES[at], "linewidth": 1.4, **edge}


def draw_throughput(plt: Any, looks: Looks, data: dict[str, list[Bar]], title: str) -> Any:
    """One small panel per cell; each bar is a server's requests/s, its label the share of ours."""
    columns = min(3, len(data))
    rows = -(-len(data) // columns)
    tallest = max(len(bars) for bars in data.values())
    figure, axes = plt.subplots(rows, columns, figsize=(4.4 * columns, rows * (0.27 * tallest + 0.85)), squeeze=False)
    for axis in axes.flat[len(data) :]:
        axis.axis("off")
    for axis, (name, bars) in zip(axes.flat, data.items()):
        top = max(each.high for each in bars)
        for at, each in enumerate(bars):
            error = [[each.middle - each.low], [each.high - each.middle]]
            axis.barh(at, each.middle, xerr=error, error_kw={"lw": 0.8, "capsize": 2}, **looks.bar(each.server))
            share = each.middle / bars[0].middle
            text = f"{each.middle:,.0f}" if each.server == OURS else f"{each.middle:,.0f}  ({share:.2f} of ours)"
            paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # over the line at ours
            axis.text(each.high + top * 0.02, at, text, va="center", fontsize=7, bbox=paper, zorder=3)
        axis.axvline(bars[0].middle, color=DARK, linewidth=0.8, linestyle=":")
        axis.set_yticks(range(len(bars)), [each.server for each in bars], fontsize=8)
        for label in axis.get_yticklabels():
            if label.get_text() == OURS:
                label.set_fontweight("bold")
        axis.set_ylim(tallest - 0.4, -0.6)  # bars of one thickness in all panels
        axis.set_xlim(0, top * 1.75)
        axis.xaxis.set_major_locator(plt.MaxNLocator(4))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")
        axis.set_title(name, fontsize=10, fontweight="bold", loc="left")
        axis.set_xlabel("requests/s", fontsize=8)
    figure.suptitle(f"{title}: median of the rounds, whiskers least and most", fontsize=11)
    return figure


def draw_lines(plt: Any, looks: Looks, lines: list[Line], title: str, x: str, y: str, log: bool) -> Any:
    figure, axis = plt.subplots(figsize=(7.5, 4.6))
    for line in lines:
        axis.plot(line.x, line.y, label=line.server, **looks.line(line.server))
    ticks = sorted({value for line in lines for value in line.x})
    if log:
        axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.set_title(title, loc="left", fontweight="bold")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, handlelength=3.5)
    return figure


def draw_latencies(plt: Any, data: dict[str, dict[str, tuple[float, float, float]]], title: str) -> Any:
    """For each cell and server a line from p50 over p99 to p99.9, on a logarithmic axis."""
    ticker = importlib.import_module("matplotlib.ticker")
    columns = min(2, len(data))
    rows = -(-len(data) // columns)
    tallest = max(len(servers) for servers in data.values())
    figure, axes = plt.subplots(rows, columns, figsize=(5.4 * columns, rows * (0.28 * tallest + 1.0)), squeeze=False)
    for axis in axes.flat[len(data) :]:
        axis.axis("off")
    marks = (("p50", "o", "white"), ("p99", "s", "#999999"), ("p99.9", "D", "black"))
    for axis, (cell, servers) in zip(axes.flat, data.items()):
        for at, (server, values) in enumerate(servers.items()):
            colour = DARK if server == OURS else "#777777"
            axis.plot(values, [at] * 3, color=colour, linewidth=3.2 if server == OURS else 1.4, zorder=1)
            for value, (_, marker, fill) in zip(values, marks):
                axis.scatter(value, at, marker=marker, s=30, facecolor=fill, edgecolor=colour, zorder=2)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.set_yticks(range(len(servers)), list(servers), fontsize=8)
        for label in axis.get_yticklabels():
            if label.get_text() == OURS:
                label.set_fontweight("bold")
        axis.invert_yaxis()
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axis.set_xlabel("ms, logarithmic", fontsize=8)
        axis.set_title(cell, fontsize=10, fontweight="bold", loc="left")
    handles = [
        plt.Line2D([], [], marker=marker, markerfacecolor=fill, markeredgecolor="black", linestyle="", label=name)
        for name, marker, fill in marks
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    figure.suptitle(f"{title}: medians of the rounds", fontsize=11, x=0.02, ha="left")
    return figure


def draw(results: Results, folder: Path) -> list[tuple[str, Path]]:
    """Draws what there are figures for. Title and file of each plot."""
    plt, looks = pyplot(), Looks()
    plt.rcParams["figure.constrained_layout.use"] = True
    done: list[tuple[str, Path]] = []

    def keep(name: str, title: str, make: Callable[[], Any]) -> None:
        path = folder / f"{name}.png"
        figure = make()
        figure.savefig(path, dpi=90)
        plt.close(figure)
        done.append((title, path))

    measured = {r.cell for r in results.rounds}
    cells = [cell for cell in CELLS if cell.name in measured]
    folder.mkdir(parents=True, exist_ok=True)
    hello = [cell for cell in (*HELLO_CELLS, *FRAMEWORK_CELLS) if "json" not in cell.name and cell.connections == 64]
    families: tuple[tuple[str, str, tuple[Cell, ...]], ...] = (
        ("hello", "Hello of each framework", tuple(hello)),
        ("json", "A JSON list of each framework", tuple(c for c in FRAMEWORK_CELLS if "json" in c.name)),
        ("shapes", "Shapes of requests and answers", SHAPE_CELLS),
        ("work", "Applications that wait or compute", WORK_CELLS),
        ("development", "Development servers", tuple(c for c in CELLS if "run" in c.name)),
        ("newer", "caddy-snake, on a newer Python", tuple(c for c in CELLS if c.environment == "newer")),
    )
    for name, title, family in families:
        bars = throughput(results, [cell for cell in family if cell.name in measured])
        if bars:
            keep(name, title, lambda bars=bars, title=title: draw_throughput(plt, looks, bars, title))  # type: ignore[misc]
    for app, title in (("hello_wsgi:app", "hello WSGI"), ("hello_asgi:app", "hello ASGI")):
        lines = over_connections(results, cells, app)
        if lines:
            name = app.partition(":")[0].replace("_", "-")
            keep(
                f"connections-{name}",
                f"Requests/s over connections, {title}",
                lambda lines=lines, title=title: draw_lines(  # type: ignore[misc]
                    plt, looks, lines, f"Over connections, {title}", "connections, logarithmic", "requests/s", True
                ),
            )
    tails = {cell.name: latencies(results, cell) for cell in cells if cell.main or cell.wins == "p99"}
    tails = {name: servers for name, servers in tails.items() if servers}
    if tails:
        keep("latencies", "Latency percentiles", lambda: draw_latencies(plt, tails, "Latency"))
    for app, title in (("flask_app:app", "Flask"), ("fastapi_app:app", "FastAPI")):
        lines = memory(results, cells, app)
        if lines:
            keep(
                f"memory-{title.lower()}",
                f"Memory over workers, {title}",
                lambda lines=lines, title=title: draw_lines(  # type: ignore[misc]
                    plt, looks, lines, f"Memory after load, {title}", "workers", "MB of PSS, whole tree", False
                ),
            )
    return done


def main() -> int:
    results, folder = load(Path(sys.argv[1])), Path(sys.argv[2])
    for title, path in draw(results, folder):
        print(f"{title}\t{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
