"""The report of benchmarks/reload: who won is counted right, and nobody who failed is left out."""

from __future__ import annotations

from typing import Any

from reload.report import render, wins
from reload.servers import APPS, SERVERS


def test_rounds_that_cannot_be_compared_are_nobodys() -> None:
    assert wins([0.1, 0.3, "it died", 0.1], [0.2, 0.2, 0.2, "it died"]) == 1
    assert wins([], [0.2]) == 0


def test_report() -> None:
    medians: dict[str, dict[str, list[Any]]] = {
        "flask-shop": {"flask run": [1.5, 0.9], "pyspeed": [0.1, 0.2], "granian": ["no answer\nand more", "no answer"]}
    }
    text = render({"began": "today", "rounds": 2, "edits": 3, "machine": {"CPU": "x"}, "medians": medians})
    rows = [line for line in text.splitlines() if line.startswith(("| pyspeed |", "| flask run |", "| granian |"))][:3]
    assert rows == [
        "| pyspeed | 100 | 150 | 200 |  |",
        "| flask run | 900 | 1200 | 1500 | 2 of 2 |",
        "| granian | | | | no answer |",
    ]


def test_every_edit_has_its_place() -> None:
    for app in APPS.values():
        assert (app.source / app.file).read_text().count(app.before) == 1
    for server in SERVERS:
        assert set(server.apps) <= set(APPS)
