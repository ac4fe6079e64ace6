"""What a cell is, and choosing cells by name."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

OURS = "pyspeed"
HELLO = b"Hello, World!"

# The list that benchmarks/apps/json_wsgi.py makes, and every framework's /json answers.
RECORDS = [
    {"id": n, "name": f"record {n}", "price": n * 1.25, "tags": ["a", "b", "c"], "active": n % 3 == 0}
    for n in range(50)
]


@dataclass(frozen=True)
class Cell:
    """One comparison.

    `app` is MODULE:ATTRIBUTE in benchmarks/apps (or in `directory`, below the project's root), `script` a file of
    benchmarks/wrk. `peers` are keys of `peers.PEERS`. Before each measurement the server must answer the probe
    (`path`, with `body` as a POST when it is not None) with 200 and exactly `expect`, or with a JSON text that
    equals `expect_json`.

    `environment` names the virtual environment (environments.ENVIRONMENTS) that all servers of the cell run in, ours
    too. Cells of one `series` have the application and the environment in common: a server is started once for
    all of them, and measured in each, in their order.

    `load` says who makes the load: "wrk", with its `script`, or "discard" (discard.py), which asks for `path` and
    throws the bodies away. With `overload` it is neither, but so many times what the server can do, at a fixed
    rate (overload.py). `options` are further arguments for ours.

    With `files` there are files below /static/ (files.py). With `cold` none of them is in the kernel's memory when the
    load begins, and there is no warm-up. In `options`, `{files}` stands for their folder.

    `wins` is the figure that decides who won a round: "rps" (more is better), "p99", "pss" or "idle" (less is better).
    """

    name: str
    app: str
    interface: str
    connections: int
    peers: tuple[str, ...]
    load: str = "wrk"
    script: str = "get.lua"
    path: str = "/"
    body: bytes | None = None
    expect: bytes | None = HELLO
    expect_json: object = None
    latency: bool = True  # whether wrk's percentiles mean something
    main: bool = False  # part of --short
    workers: int = 1
    load_threads: int = 1  # wrk's
    environment: str = "peers"
    directory: str = "benchmarks/apps"
    series: str = ""
    options: tuple[str, ...] = ()  # of ours, where it does not run with its defaults
    wins: str = "rps"
    overload: float = 0.0
    files: bool = False
    cold: bool = False
    patience: int = 0  # seconds after which an answer that has not come is an error; 0: wrk's two
    least_seconds: float = 0.0  # of load, however short the rounds of a run are
    what: str = ""  # a sentence for the report, where the name does not say it

    @property
    def servers(self) -> tuple[str, ...]:
        return (OURS, *self.peers)

    @property
    def group(self) -> str:
        return self.series or self.name


def select(cells: Iterable[Cell], names: str | None, short: bool = False) -> list[Cell]:
    """The cells that a comma-separated list of names and globs asks for, in its order; else all, or the main ones.

    Raises ValueError, with the names there are, for a name or glob that fits none.
    """
    cells = list(cells)
    if not names:
        return [cell for cell in cells if cell.main or not short]
    chosen: dict[str, Cell] = {}
    for pattern in (part.strip() for part in names.split(",")):
        fitting = [cell for cell in cells if fnmatch.fnmatchcase(cell.name, pattern)]
        if not fitting:
            known = ", ".join(cell.name for cell in cells)
            raise ValueError(f"cannot run cell {pattern!r}: there is none of that name; there are {known}")
        chosen.update((cell.name, cell) for cell in fitting)
    return list(chosen.values())
