"""That asgion judges at all: an application that is wrong is found to be. ``make asgion`` runs this."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import ASGION, judged
from harness.client import fetch
from harness.server import Server, Spec


def test_faults_are_found(start: Callable[[Spec], Server], tmp_path: Path) -> None:
    spec = judged(Spec(target="faulty:app", interface="asgi", directory=ASGION, workers=1), tmp_path)
    server = start(spec)
    assert fetch(server.address, "GET", "/").body == b"twice"
    server.stop()
    notes = (tmp_path / "violations").read_text()
    assert "ERROR" in notes
    assert "JUDGED" in notes
