"""Fixtures: web servers with our responder behind them. `make peers` runs this folder; `make test` does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import fronts
import pytest
from harness.server import REPOSITORY

FRONTS = ("nginx", "lighttpd", "apache")
# Folder in examples/, target.
SHOPS = {
    "flask": ("flask_shop", "wsgi:application"),
    "fastapi": ("fastapi_shop", "asgi:app"),
    "tornado": ("tornado_shop", "app:app"),
}


@pytest.fixture(scope="session")
def _fronts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], fronts.Front]]:
    running: dict[tuple[str, str], fronts.Front] = {}

    def get(kind: str, name: str) -> fronts.Front:
        if (kind, name) not in running:
            folder = tmp_path_factory.mktemp(f"{kind}-{name}")
            if name in SHOPS:
                place, target = SHOPS[name]
                options = ["--app-dir", str(REPOSITORY / "examples" / place)]
                env = {"SHOP_DB": str(folder / "shop.sqlite3")}
            else:
                options, env = ["--app-dir", str(Path(__file__).parent)], {}
                target = f"responder_apps:{name}"
            responder = fronts.Responder(target, *options, folder=folder / "responder", env=env)
            running[kind, name] = fronts.start(kind, name, responder, folder / kind)
        return running[kind, name]

    yield get
    for front in running.values():
        front.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Adds the logs of the servers that a failed test used to its report."""
    report = yield
    if report.failed:
        for front in getattr(item, "fronts", ()):
            report.sections.append((f"{front.kind}'s error log", str(front.log)[-8000:]))
            report.sections.append((f"log of {front.responder.target}", str(front.responder.log)[-8000:]))
    return report


@pytest.fixture(params=[(kind, name) for kind in FRONTS for name in SHOPS], ids=lambda pair: "-".join(pair))
def shop(request: pytest.FixtureRequest, _fronts: Callable[[str, str], fronts.Front]) -> Iterator[fronts.Front]:
    """Each shop behind each web server, shared with other tests; all must be alive afterwards."""
    front = _fronts(*request.param)
    request.node.fronts = [front]
    yield front
    assert front.get("/info").status == 200


@pytest.fixture(params=[(kind, name) for kind in FRONTS for name in ("wsgi", "asgi")], ids=lambda pair: "-".join(pair))
def lab(request: pytest.FixtureRequest, _fronts: Callable[[str, str], fronts.Front]) -> Iterator[fronts.Front]:
    """A bare application behind each web server; its responder and the server must be alive afterwards."""
    front = _fronts(*request.param)
    request.node.fronts = [front]
    yield front
    assert front.get("/hello").body == b"hello"
