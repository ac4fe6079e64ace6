"""Times one way of doing one thing, and prints the line that compare.py reads."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from statistics import median

REPEATS = 5


def nanoseconds(work: Callable[[], object], seconds: float) -> float:
    """Per call: the median of five measurements that share the seconds."""
    count, took = 1, 0.0
    share = seconds / REPEATS
    while True:
        took = _time(work, count)
        if took >= share / 4:
            break
        count *= 2
    count = max(1, int(count * share / took))
    return median(_time(work, count) / count for _ in range(REPEATS)) * 1e9


def _time(work: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        work()
    return time.perf_counter() - began


def digest(canonical: bytes) -> str:
    return hashlib.sha256(canonical).hexdigest()[:16]


def report(component: str, given: str, way: str, ns: float, result: str) -> None:
    line = {"component": component, "input": given, "way": way, "ns": round(ns, 1), "result": result}
    print(json.dumps(line), flush=True)
