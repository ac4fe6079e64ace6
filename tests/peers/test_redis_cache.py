"""[cache] shared through a real Redis: there, not there, killed under load, slow, with another password."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import zoo
from harness.client import Connection, Response, fetch, request
from harness.server import Server, Spec, binary, clean_environment
from harness.waiting import eventually
from harness.zoo import Zoo
from redis_server import Proxy, Redis

# No machine is too slow for that; where the time is to run out it is shorter.
PATIENT = "20s"
EDGES = ("netpoll", "conn")
LONG = ("Cache-Control", "max-age=3600")


def say(*pairs: tuple[str, str], **more: Any) -> tuple[str, str]:
    """The field that has the application answer so."""
    return ("X-Say", json.dumps({"fields": pairs, **more}))


class Gateway(Zoo):
    def ask(self, target: str, *fields: tuple[str, str], method: str = "GET") -> Response:
        # One site, whichever gateway is asked: the key has the host.
        with self.connect() as connection:
            connection.send(request(method, target, fields, host="site.test"))
            return connection.read_response(method)

    def metric(self, name: str) -> float:
        assert self.server.admin
        lines = fetch(self.server.admin, "GET", "/metrics").body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(binary()), "ctl", "--socket", str(self.server.config.with_name("pyspeed.sock")), *arguments]
        return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=30)


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as one:
        yield one


@pytest.fixture
def gateway(start: Callable[[Spec], Server], tmp_path: Path) -> Callable[..., Gateway]:
    """gateway(url, timeout=…, edge=…): one of several in front of the same application."""

    def start_one(url: str, *, timeout: str = PATIENT, edge: str = "netpoll", listens: bool = True) -> Gateway:
        settings = {
            "redis": {"url": url, "timeout": timeout, "prefix": "test:"},
            "cache": {"enabled": True, "shared": True},
        }
        spec = zoo.spec("caching_flask", "wsgi", tmp_path, settings=settings, workers=1)
        spec.edge = edge
        one = Gateway(start(spec), "wsgi", tmp_path)
        if listens:
            eventually(lambda: shares(one), "it shares")
        return one

    return start_one


def shares(one: Gateway) -> bool:
    """Whether what it asks for gets into Redis by now."""
    before = one.metric('pyspeed_cache_shared_total{what="stored"}')
    number = one.runs()["/probe"]
    one.ask(f"/probe?{number}", say(LONG))
    eventually(lambda: one.metric('pyspeed_cache_shared_total{what="stored"}') > before, "stored", patience=1)
    return True


def share(one: Gateway, path: str, *more: tuple[str, str]) -> bytes:
    """Has a gateway ask for a page, and waits until the others may have it."""
    before = one.metric('pyspeed_cache_shared_total{what="stored"}')
    body = one.ask(path, say(LONG, *more)).body
    eventually(lambda: one.metric('pyspeed_cache_shared_total{what="stored"}') > before, "stored")
    return body


@pytest.mark.parametrize("edge", EDGES)
def test_one_asks_for_all(gateway: Callable[..., Gateway], redis: Redis, edge: str) -> None:
    one, two = gateway(redis.url, edge=edge), gateway(redis.url, edge=edge)
    body = share(one, "/a", ("Cache-Tag", "t"))
    got = two.ask("/a")
    assert got.body == body and got.get("Cache-Status").endswith("; detail=shared"), got
    assert two.ask("/a").body == body
    assert one.runs()["/a"] == 1
    keys = redis("KEYS", "*")
    assert isinstance(keys, list) and all(key.startswith("test:cache:") for key in keys)
    # Changed through one, it is gone from the other's memory too.
    for change in (
        lambda: one.ask("/a", say(status=204, text=""), method="PUT").status == 204,
        lambda: one.ctl("purge", "/a").returncode == 0,
        lambda: one.ctl("purge", "--prefix", "/").returncode == 0,
        lambda: one.ctl("purge", "--tag", "t").returncode == 0,
        lambda: one.ctl("purge", "--all").returncode == 0,
    ):
        heard = two.metric('pyspeed_cache_shared_total{what="heard"}')
        assert change()
        eventually(lambda heard=heard: two.metric('pyspeed_cache_shared_total{what="heard"}') > heard, "told")  # type: ignore[misc]
        new = share(two, "/a", ("Cache-Tag", "t"))
        assert new != body
        eventually(lambda new=new: one.ask("/a").body == new, "the other has it")  # type: ignore[misc]
        body = new


def test_down_at_the_start(gateway: Callable[..., Gateway], redis: Redis) -> None:
    redis.kill()
    one = gateway(redis.url, listens=False)
    body = one.ask("/a", say(LONG)).body
    assert one.ask("/a").body == body and one.runs()["/a"] == 1
    assert one.server.log.wait_for(r"WARNING cannot use Redis, .* see whether it runs")
    refused = one.ctl("purge", "--all")
    assert refused.returncode == 1 and "not yet from Redis" in refused.stderr
    assert one.ask("/a", say(LONG)).body != body
    redis.start()
    eventually(lambda: shares(one), "it shares")
    two = gateway(redis.url)
    assert two.ask("/b", say(LONG)).body != b"" and share(one, "/c") == two.ask("/c").body


@pytest.mark.limit(120)
def test_killed_under_load(gateway: Callable[..., Gateway], redis: Redis) -> None:
    """Redis dies and comes back while two gateways are asked: all answers are right, what was purged is gone."""
    both = [gateway(redis.url, timeout="200ms"), gateway(redis.url, timeout="200ms")]
    stop = threading.Event()
    wrong: list[str] = []
    counted = [0] * 6

    def work(seed: int) -> None:
        with Connection(both[seed % 2].address) as connection:

            def ask(method: str, *fields: tuple[str, str]) -> Response:
                connection.send(request(method, name, fields, host="site.test"))
                return connection.read_response(method)

            while not stop.is_set():
                name = f"/page/{(seed * 7 + counted[seed]) % 20}"
                counted[seed] += 1
                if counted[seed] % 50 == 0:
                    answer = ask("POST", say(text=""))
                    good = answer.status == 200
                else:
                    answer = ask("GET", say(LONG, text=name * 20))
                    good = answer.status == 200 and answer.body == (name * 20).encode()
                if not good:
                    wrong.append(f"{name}: {answer.status} {answer.body[:50]!r}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    try:

        def asked(more: int) -> None:
            goal = sum(counted) + more
            eventually(lambda: sum(counted) > goal, "requests are answered")

        asked(500)
        redis.kill()
        asked(500)
        eventually(lambda: both[0].metric("pyspeed_redis_up") == 0, "taken for down")
        old = both[0].ask("/gone", say(LONG)).body
        assert both[0].ctl("purge", "/gone").returncode == 1
        assert both[0].ask("/gone", say(LONG)).body != old
        redis.start()
        eventually(lambda: both[0].metric("pyspeed_redis_up") == both[1].metric("pyspeed_redis_up") == 1, "back")
        asked(500)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]
    eventually(lambda: all(shares(one) for one in both), "they share")
    assert both[1].ask("/gone", say(LONG)).body != old


def test_slow(gateway: Callable[..., Gateway], redis: Redis) -> None:
    """A Redis that does not answer is soon not asked any more."""
    with Proxy(redis) as proxy:
        one = gateway(proxy.url, timeout="500ms")
        proxy.hold()
        for n in range(20):
            assert one.ask(f"/slow/{n}", say(LONG, text=str(n))).body == str(n).encode()
            assert one.ask(f"/slow/{n}").body == str(n).encode()
        eventually(lambda: one.metric("pyspeed_redis_up") == 0, "taken for down")
        assert one.ask("/slow/last", say(LONG, text="last")).body == b"last"
        proxy.release()
        eventually(lambda: shares(one), "it shares")


def test_wrong_password(gateway: Callable[..., Gateway]) -> None:
    with Redis(password="right") as redis:
        one = gateway(redis.url.replace("right", "wrong"), listens=False)
        body = one.ask("/a", say(LONG)).body
        assert one.ask("/a").body == body
        line = one.server.log.wait_for(r"WARNING cannot use Redis, .*correct the user and the password")[0][0]
        assert b"wrong" not in line
        assert one.metric("pyspeed_redis_up") == 0
        assert gateway(redis.url).ask("/b", say(LONG)).status == 200
