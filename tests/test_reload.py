"""Reloads of a shop under load: new code, broken code, release folders, slow requests, warm-up."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import ONE_ON_EACH_EDGE, SHOPS, Shop, shop_spec
from harness.client import Connection, request
from harness.load import Load
from harness.server import REPOSITORY, Server, Spec
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed

StartServer = Callable[..., Server]

# What a shop gets besides: a page with its version, one that waits until the test opens a gate, and one for the
# warm-up. They note that they run.
PAGES = {
    "flask": """

import os, pathlib, time

NOTES = pathlib.Path(os.environ["NOTES"])

def note(what):
    with open(NOTES / "events", "ab", buffering=0) as events:
        events.write(what.encode() + b"\\n")

@application.get("/version")
def version():
    note("version")
    return VERSION

@application.get("/patient")
def patient():
    note("patient")
    while not (NOTES / "gate").exists():
        time.sleep(0.01)
    return VERSION

@application.get("/warm")
def warm():
    note("warm %s" % os.getpid())
    if VERSION == "cold":
        raise RuntimeError("no cache")
    return VERSION
""",
    "fastapi": """

import asyncio, os, pathlib
from fastapi.responses import PlainTextResponse

NOTES = pathlib.Path(os.environ["NOTES"])

def note(what):
    with open(NOTES / "events", "ab", buffering=0) as events:
        events.write(what.encode() + b"\\n")

@app.get("/version")
async def version():
    note("version")
    return PlainTextResponse(VERSION)

@app.get("/patient")
async def patient():
    note("patient")
    while not (NOTES / "gate").exists():
        await asyncio.sleep(0.01)
    return PlainTextResponse(VERSION)

@app.get("/warm")
async def warm():
    note("warm %s" % os.getpid())
    if VERSION == "cold":
        raise RuntimeError("no cache")
    return PlainTextResponse(VERSION)
""",
}
BOTH = pytest.mark.parametrize("site", ["flask", "fastapi"], indirect=True)


@dataclass
class Site:
    """A shop in a folder of its own, in versions."""

    name: str
    releases: Path
    notes: Path

    def write(self, version: str, release: str = "release", code: str = "") -> None:
        """Makes a release of a version; code, if any, comes first in its module."""
        folder, target, _ = SHOPS[self.name]
        place = self.releases / release
        if not place.exists():
            shutil.copytree(REPOSITORY / "examples" / folder, place, ignore=shutil.ignore_patterns("__pycache__"))
        module = place / (target.partition(":")[0] + ".py")
        original = (REPOSITORY / "examples" / folder / module.name).read_text()
        new = module.with_suffix(".new")
        new.write_text(f"{original}\n{code}\nVERSION = {version!r}\n{PAGES[self.name]}")
        new.replace(module)

    def point(self, release: str) -> None:
        """Lets ``current`` mean another release, at once."""
        link = self.releases / "next"
        link.symlink_to(release)
        link.replace(self.releases / "current")

    def events(self) -> list[str]:
        path = self.notes / "events"
        return path.read_text().splitlines() if path.exists() else []

    def open_gate(self) -> None:
        (self.notes / "gate").touch()


@dataclass
class Running(Shop):
    """The shop, served."""

    def version(self) -> str:
        answer = self.get("/version")
        assert answer.status == 200, answer
        return answer.body.decode()

    def hup(self) -> int:
        """SIGHUP; returns where its part of the log begins."""
        mark = self.server.log.mark()
        self.server.process.send_signal(signal.SIGHUP)
        return mark

    def reload(self) -> None:
        """SIGHUP, until the new workers serve."""
        self.server.log.wait_for("reloaded generation", since=self.hup())

    def fails_to_reload(self, pattern: str) -> int:
        mark = self.hup()
        self.server.log.wait_for("cannot reload, .*" + pattern, since=mark)
        return mark

    def assert_ran_once(self, load: Load, prefix: str) -> None:
        assert load.done > 0
        assert not load.failed(), load.failed()[:10]
        runs = self.runs(prefix)
        wrong = [(outcome, runs.get(outcome.nonce)) for outcome in load.outcomes if runs.get(outcome.nonce) != 1]
        assert not wrong, wrong[:10]


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    notes, releases = tmp_path / "notes", tmp_path / "releases"
    notes.mkdir()
    releases.mkdir()
    return Site(getattr(request, "param", "flask"), releases, notes)


@pytest.fixture
def serve(start: StartServer, site: Site, tmp_path: Path) -> Callable[..., Running]:
    """Serves the site: serve(folder, edge, workers=…, settings={…})."""

    def start_one(
        folder: str = "release",
        edge: str = "netpoll",
        *,
        workers: int = 2,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Running:
        spec: Spec = shop_spec(site.name, edge, tmp_path, directory=site.releases / folder, workers=workers)
        spec.settings = {**spec.settings, **(settings or {})}
        spec.env = {**spec.env, "NOTES": str(site.notes)}
        return Running(site.name, edge, start(spec))

    return start_one


Serve = Callable[..., Running]


@pytest.mark.parametrize(("site", "edge"), ONE_ON_EACH_EDGE, indirect=["site"])
@pytest.mark.limit(180)
def test_new_code_under_load(site: Site, serve: Serve, edge: str, nonce: str) -> None:
    """Four versions: no request fails, each runs once, and after a reload only the new version answers."""
    site.write("1")
    shop = serve(edge=edge)
    with Load(shop.address, nonce) as load:
        for version in "234":
            site.write(version)
            shop.reload()
            assert {shop.version() for _ in range(10)} == {version}
            before = load.done
            eventually(lambda before=before: load.done > before + 20, "the load goes on")  # type: ignore[misc]
    shop.assert_ran_once(load, nonce)


@BOTH
@pytest.mark.limit(180)
def test_broken_code_keeps_the_old(site: Site, serve: Serve, nonce: str) -> None:
    """The workers stay the same, the log has the traceback; what is mended is served."""
    site.write("1")
    shop = serve()
    old = shop.server.workers()
    with Load(shop.address, nonce) as load:
        for code, said in [
            ("def (", "SyntaxError"),
            ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
            ("raise SystemExit(1)", "SystemExit"),
            ("import os; os._exit(3)", "exited with status 3 while starting"),
        ]:
            site.write("broken", code=code)
            mark = shop.fails_to_reload(re.escape(said))
            if "_exit" not in code:
                # The line that is at fault, and the one above that says where.
                shop.server.log.wait_for(re.escape(code), since=mark)
                shop.server.log.wait_for(r'File ".*/release/\w+\.py", line \d+', since=mark)
            assert shop.version() == "1"
            eventually(lambda: shop.server.workers() == old, "the old workers are the only ones")
        site.write("2")
        shop.reload()
        assert shop.version() == "2"
    shop.assert_ran_once(load, nonce)


def test_release_folders(site: Site, serve: Serve, nonce: str) -> None:
    """Each generation sees the release that the link meant when it was started, also in a worker that comes later."""
    site.write("1", "releases-1")
    site.write("2", "releases-2")
    site.point("releases-1")
    shop = serve("current", workers=1)
    assert shop.version() == "1"
    with Load(shop.address, nonce) as load:
        site.point("releases-2")
        assert shop.version() == "1"
    shop.assert_ran_once(load, nonce)
    # One that has to be started anew is of the old release still.
    (old,) = shop.server.workers()
    os.kill(old, signal.SIGKILL)
    eventually(lambda: shop.server.workers() not in ([], [old]), "another worker")
    assert shop.version() == "1"
    with Load(shop.address, nonce + "b") as load:
        shop.reload()
        assert shop.version() == "2"
        assert os.readlink(f"/proc/{shop.server.workers()[-1]}/cwd").endswith("/releases-2")
    shop.assert_ran_once(load, nonce + "b")


@pytest.mark.limit(180)
def test_one_at_a_time(site: Site, serve: Serve, nonce: str) -> None:
    """With overlap = 1 there is one worker more than usual at most, and a failure half-way leads back."""
    site.write("1")
    shop = serve(workers=3, settings={"workers": {"overlap": 1}})
    most = 0

    def watch() -> bool:
        nonlocal most
        most = max(most, len(shop.server.workers()))
        return b"reloaded generation" in shop.server.log.since(mark)

    with Load(shop.address, nonce) as load:
        site.write("2")
        mark = shop.hup()
        eventually(watch, "reloaded")
        assert shop.version() == "2"
        assert most <= 4
        # The second worker does not start.
        site.write("3", code="import os\nif os.environ['PYSPEED_WORKER_ID'] == '2': raise RuntimeError('one too many')")
        shop.fails_to_reload("one too many")
        # Its code is not there any more, so the first one has to keep the new one, or gets it back from the same file.
        shop.server.log.wait_for("worker ready", since=mark)
        site.write("4")
        shop.reload()
        assert {shop.version() for _ in range(10)} == {"4"}
    shop.assert_ran_once(load, nonce)


@BOTH
@pytest.mark.limit(120)
def test_requests_under_way_are_finished(site: Site, serve: Serve) -> None:
    site.write("1")
    shop = serve(workers=1)
    with shop.connect() as slow:
        slow.send(request("GET", "/patient"))
        eventually(lambda: "patient" in site.events(), "it runs")
        site.write("2")
        shop.reload()
        assert shop.version() == "2"
        assert len(shop.server.workers()) == 2, "the old worker is there while it has a request"
        site.open_gate()
        answer = slow.read_response()
        assert (answer.status, answer.body) == (200, b"1")
        # The connection is the gateway's, and goes on with the new worker.
        assert slow.request("GET", "/version").body == b"2"
    eventually(lambda: len(shop.server.workers()) == 1, "the old worker is gone")
    assert site.events().count("patient") == 1


def test_requests_that_take_too_long_are_cut(site: Site, serve: Serve) -> None:
    """After server.timeouts.shutdown the old worker is ended; what it still has is 502."""
    site.write("1")
    shop = serve(workers=1, settings={"server.timeouts": {"shutdown": "1s"}})
    with shop.connect() as slow:
        slow.send(request("GET", "/patient"))
        eventually(lambda: "patient" in site.events(), "it runs")
        shop.reload()
        assert slow.read_response().status == 502
    eventually(lambda: len(shop.server.workers()) == 1, "the old worker is gone")
    assert shop.version() == "1"


@BOTH
@pytest.mark.limit(120)
def test_warm_up(site: Site, serve: Serve, nonce: str) -> None:
    """Each worker is asked before it has a client's request; where that fails the old workers serve on."""
    site.write("1")
    shop = serve(workers=2, settings={"workers": {"warmup": ["/warm"]}})
    warmed = {event for event in site.events() if event.startswith("warm")}
    assert warmed == {f"warm {pid}" for pid in shop.server.workers()}
    with Load(shop.address, nonce) as load:
        site.write("2")
        shop.reload()
        assert len([event for event in site.events() if event.startswith("warm")]) == 4
        assert shop.version() == "2"
        workers = shop.server.workers()
        site.write("cold")
        mark = shop.fails_to_reload("the warm-up request /warm was answered with 500")
        shop.server.log.wait_for("no cache", since=mark)
        assert shop.version() == "2"
        eventually(lambda: set(shop.server.workers()) <= set(workers), "the new workers are gone")
    shop.assert_ran_once(load, nonce)


def test_bodies_are_whole(site: Site, serve: Serve) -> None:
    """Uploads that arrive slowly while the workers change reach one of them once, whole."""
    site.write("1")
    shop = serve(workers=1)
    body = os.urandom(300_000)
    for _ in range(3):
        with Connection(shop.address) as connection:
            fields = [("Content-Length", str(len(body))), ("Content-Type", "application/octet-stream")]
            connection.send(request("POST", "/echo", fields) + body[:100_000])
            shop.reload()
            connection.send(body[100_000:])
            answer = connection.read_response()
            assert (answer.status, answer.body == body) == (200, True)
