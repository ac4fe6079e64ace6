"""What the gateway holds: goroutines, descriptors, memory; as its own metrics tell, and as the kernel does."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from . import processes
from .client import fetch
from .server import Server
from .waiting import eventually


@dataclass(frozen=True)
class Vitals:
    goroutines: int
    descriptors: int
    rss: int  # bytes


def metric(server: Server, name: str) -> float:
    """The value of one series, named with its labels; 0 if there is none."""
    assert server.admin is not None
    text = fetch(server.admin, "GET", "/metrics").body.decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def vitals(server: Server) -> Vitals:
    return Vitals(
        goroutines=int(metric(server, "go_goroutines")),
        descriptors=len(os.listdir(f"/proc/{server.pid}/fd")),
        rss=processes.rss(server.pid),
    )


def assert_recovers(server: Server, before: Vitals, slack: int = 32 * 1024 * 1024) -> None:
    """Waits until the gateway holds no more than before: as many goroutines and descriptors, and about the memory.

    The few goroutines and descriptors more are those of the admin connections by which it is asked.
    """

    def as_before() -> bool:
        now = vitals(server)
        assert now.goroutines <= before.goroutines + 3, f"goroutines: {before} became {now}"
        assert now.descriptors <= before.descriptors + 3, f"descriptors: {before} became {now}"
        assert now.rss <= before.rss + slack, f"memory: {before} became {now}"
        return True

    eventually(as_before, "the gateway is as before")


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """How much y rises with each unit of x: the slope of the line through the points with the least squares."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((value - mean_x) ** 2 for value in x)
    return sum((at - mean_x) * (value - mean_y) for at, value in zip(x, y)) / spread
