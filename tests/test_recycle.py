"""Workers that are replaced by themselves: by requests, age, memory, and because the application asks for it."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ONE_ON_EACH_EDGE, Shop
from harness import processes, zoo
from harness.client import fetch, request
from harness.crowd import assert_none_ran_twice
from harness.load import Load
from harness.server import Server
from harness.waiting import eventually
from harness.zoo import Zoo

pytestmark = pytest.mark.pyspeed

MIB = 1024 * 1024

StartShop = Callable[..., Shop]
StartZoo = Callable[..., Zoo]


def assert_ran_once(shop: Shop, load: Load, prefix: str) -> None:
    assert load.done > 0
    assert not load.failed(), load.failed()[:10]
    runs = shop.runs(prefix)
    wrong = [(outcome, runs.get(outcome.nonce)) for outcome in load.outcomes if runs.get(outcome.nonce) != 1]
    assert not wrong, wrong[:10]


def ends(server: Server, reason: str) -> int:
    """How many workers have ended for the reason, as the metrics have it."""
    assert server.admin is not None
    text = fetch(server.admin, "GET", "/metrics").body.decode()
    match = re.search(rf'^pyspeed_worker_ends_total{{reason="{reason}"}} (\d+)$', text, re.M)
    assert match, text
    return int(match[1])


@pytest.mark.parametrize(("name", "edge"), ONE_ON_EACH_EDGE)
@pytest.mark.limit(180)
def test_max_requests_under_load(start_shop: StartShop, name: str, edge: str, nonce: str) -> None:
    """Four workers go, one at a time: no request is lost, and each runs once."""
    shop = start_shop(name, edge, workers=2, settings={"workers": {"max_requests": 100, "max_requests_jitter": 20}})
    server = shop.server
    most, fewest = 0, 2

    def four_are_gone() -> bool:
        nonlocal most, fewest
        now = len(server.workers())
        most, fewest = max(most, now), min(fewest, now)
        return ends(server, "max_requests") >= 4

    with Load(shop.address, nonce) as load:
        eventually(four_are_gone, "four workers are gone", patience=120)
    assert fewest == 2 and most <= 3, f"{fewest} to {most} workers at once"
    server.log.wait_for(
        r"stopped as asked: it has had its requests \(workers.max_requests\) reason=max_requests", count=4
    )
    assert_ran_once(shop, load, nonce)


def test_max_lifetime_under_load(start_shop: StartShop, nonce: str) -> None:
    shop = start_shop("flask", "netpoll", workers=2, settings={"workers": {"max_lifetime": "1s"}})
    old = set(shop.server.workers())
    with Load(shop.address, nonce, clients=4) as load:
        shop.server.log.wait_for(r"it has reached its age \(workers.max_lifetime\) reason=max_lifetime", count=4)
        assert not old & set(shop.server.workers())
    assert_ran_once(shop, load, nonce)


def test_max_rss(start_zoo: StartZoo, interface: str) -> None:
    """The worker that grows is replaced, and the other one is not."""
    animal = start_zoo("asks", interface, workers=2, settings={"workers": {"max_rss": "160MiB"}})
    old = set(animal.server.workers())
    with animal.connect() as connection:
        grown = 0
        while not grown:
            assert connection.request("GET", "/grow").body == b"grown"
            grown = next((pid for pid in old if rss(pid) > 160 * MIB), 0)
        animal.server.log.wait_for(r"it has grown too large \(workers.max_rss\): \d+ MiB reason=max_rss")
        eventually(lambda: len(animal.server.workers()) == 2, "two workers again")
        assert set(animal.server.workers()) & old == old - {grown}
        assert connection.request("GET", "/ok").status == 200
    assert ends(animal.server, "max_rss") == 1


def rss(pid: int) -> int:
    try:
        return processes.rss(pid)
    except (FileNotFoundError, ProcessLookupError, LookupError):
        return 0  # it has ended


def test_the_application_asks(start_zoo: StartZoo, interface: str, nonce: str) -> None:
    animal = start_zoo("asks", interface, workers=1)
    (old,) = animal.server.workers()
    with Load(animal.address, nonce, clients=4) as load:
        assert animal.get("/ask").body == b"asked"
        animal.server.log.wait_for(
            "stopped as asked: the application asked for it: the cache is full reason=application"
        )
        eventually(lambda: animal.server.workers() not in ([], [old]), "another worker")
    assert load.done > 0
    assert not load.failed()
    assert_none_ran_twice(load.outcomes, animal.runs(nonce))
    assert ends(animal.server, "application") == 1


def test_its_requests_are_finished(start_zoo: StartZoo) -> None:
    """One that runs while the successor takes over."""
    animal = start_zoo("asks", "wsgi", workers=1)
    (old,) = animal.server.workers()
    with animal.connect() as slow:
        slow.send(request("GET", "/wait"))
        animal.wait_for_run("wait")
        animal.get("/ask")

        def new() -> bool:
            return animal.get("/pid").body != str(old).encode()

        eventually(new, "the successor answers")
        assert old in animal.server.workers()
        animal.open_gate()
        assert slow.read_response().body == b"waited"
        assert slow.request("GET", "/ok").status == 200
    eventually(lambda: old not in animal.server.workers(), "the old worker is gone")
    assert animal.runs()["wait"] == 1


def test_a_successor_that_fails(start: Callable[..., Server], tmp_path: Path, nonce: str) -> None:
    """The worker goes on beyond its limit until the code is mended."""
    for source in ("asks.py", "keeper.py"):
        shutil.copy(zoo.DIRECTORY / source, tmp_path)
    spec = zoo.spec("asks", "wsgi", tmp_path, workers=1, settings={"workers": {"max_requests": 20}})
    spec.directory = tmp_path
    animal = Zoo(start(spec), "wsgi", tmp_path)
    (old,) = animal.server.workers()
    good = (tmp_path / "asks.py").read_text()
    (tmp_path / "asks.py").write_text("nonsense(\n")
    with Load(animal.address, nonce, clients=4) as load:
        animal.server.log.wait_for(
            "cannot replace worker 1, which goes on: cannot import the application: SyntaxError", count=2
        )
        assert animal.get("/pid").body == str(old).encode()
        (tmp_path / "asks.py").write_text(good)
        eventually(lambda: old not in animal.server.workers(), "the worker is replaced")
    assert not load.failed()
    assert_none_ran_twice(load.outcomes, animal.runs(nonce))


def test_one_that_is_killed_meanwhile(start_zoo: StartZoo, nonce: str) -> None:
    """Workers are killed while others are replaced: only what had begun in those fails, and the number is kept."""
    animal = start_zoo("asks", "wsgi", workers=2, settings={"workers": {"max_requests": 50}})
    with Load(animal.address, nonce, clients=8) as load:
        for turn in range(3):
            before = ends(animal.server, "max_requests")
            eventually(lambda before=before: ends(animal.server, "max_requests") > before, f"replaced, {turn}")  # type: ignore[misc]
            os.kill(animal.server.workers()[0], signal.SIGKILL)
    assert_none_ran_twice(load.outcomes, animal.runs(nonce))
    animal.wait_for_workers()
