"""[redis] and shared rate limits with a real Redis: there, not there, killed, slow, with another password."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import zoo
from harness.client import Connection, Response, fetch, request
from harness.server import Server, Spec, binary
from harness.waiting import eventually
from redis_server import Proxy, Redis

RULE: dict[str, Any] = {"name": "api", "key": "header:X-Key", "rate": "20/d", "shared": True}
# No machine is too slow for that; where the time is to run out it is shorter.
PATIENT = "20s"
EDGES = ("netpoll", "conn")


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as one:
        yield one


@pytest.fixture
def gateway(start: Callable[[Spec], Server], tmp_path: Path) -> Callable[..., Server]:
    """gateway(url, timeout=…, rules=…, edge=…): one with a small application and a Redis."""

    def start_one(
        url: str,
        *,
        timeout: str = PATIENT,
        rules: Any = (RULE,),
        edge: str = "netpoll",
        interface: str = "wsgi",
        **more: Any,
    ) -> Server:
        settings = {"redis": {"url": url, "timeout": timeout, "prefix": "test:"}}
        spec = zoo.spec("plain", interface, tmp_path, limits=rules, settings=settings, workers=1, **more)
        spec.edge = edge
        return start(spec)

    return start_one


def ask(server: Server, key: str, target: str = "/ok") -> Response:
    return fetch(server.address, "GET", target, [("X-Key", key)])


def passes(server: Server, key: str, times: int) -> int:
    """How many of so many requests pass; the others are refused in order."""
    answers = [ask(server, key) for _ in range(times)]
    for answer in answers:
        assert answer.status == 200 or (answer.status == 429 and int(answer.get("Retry-After")) > 0)
    return sum(answer.status == 200 for answer in answers)


def metric(server: Server, name: str) -> float:
    assert server.admin is not None
    text = fetch(server.admin, "GET", "/metrics").body.decode()
    match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert match, f"no {name} in\n{text}"
    return float(match[1])


@pytest.mark.parametrize("edge", EDGES)
def test_two_gateways_have_one_limit(gateway: Callable[..., Server], redis: Redis, edge: str) -> None:
    """Of 60 requests over both, beside each other, exactly 20 pass; and so with each key."""
    servers = [gateway(redis.url, edge=edge) for _ in range(2)]
    statuses: dict[str, list[int]] = {f"key{n}": [] for n in range(5)}
    failed: list[BaseException] = []

    def client(server: Server) -> None:
        try:
            with Connection(server.address) as connection:
                for _ in range(10):
                    for key, seen in statuses.items():
                        seen.append(connection.request("GET", "/ok", [("X-Key", key)]).status)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=client, args=(servers[n % 2],)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert all(Counter(seen) == {200: 20, 429: 40} for seen in statuses.values()), statuses
    for server in servers:
        assert metric(server, 'pyspeed_rate_limit_local_decisions_total{rule="api"}') == 0
        assert metric(server, "pyspeed_redis_up") == 1
    # Nothing but hashes of the keys is there, and all of it goes by itself.
    keys = redis.keys()
    assert len(keys) == 5 and all(re.fullmatch(r"test:limit:api:h:[0-9a-f]{32}", key) for key in keys)
    for key in keys:
        left = redis("PTTL", key)
        assert isinstance(left, int) and 0 < left <= 86_402_000


def test_each_knows_what_the_other_did(gateway: Callable[..., Server], redis: Redis) -> None:
    one, other = gateway(redis.url), gateway(redis.url)
    for n in range(20):
        answer = ask((one, other)[n % 2], "a")
        assert answer.status == 200 and answer.get("RateLimit").startswith(f'"api";r={19 - n};t=')
    assert ask(one, "a").status == ask(other, "a").status == 429


def test_scripts_are_lost(gateway: Callable[..., Server], redis: Redis) -> None:
    """What Redis forgets of scripts it is told again, and no request counts twice for it."""
    server = gateway(redis.url)
    for n in range(20):
        if n % 3 == 0:
            assert redis("SCRIPT", "FLUSH") == "OK"
        assert ask(server, "a").get("RateLimit").startswith(f'"api";r={19 - n};t=')
    assert ask(server, "a").status == 429
    assert metric(server, 'pyspeed_rate_limit_local_decisions_total{rule="api"}') == 0


def test_rules_of_all_kinds_are_one_step(gateway: Callable[..., Server], redis: Redis) -> None:
    rules = [
        {"name": "route", "key": "route", "path": "/ok", "rate": "5/d", "shared": True},
        {"name": "address", "rate": "100/d", "shared": True},
        {"name": "here", "rate": "100/d"},
    ]
    servers = [gateway(redis.url, rules=rules) for _ in range(2)]
    assert sum(ask(servers[n % 2], "").status == 200 for n in range(12)) == 5
    # Those that the first rule refused took nothing from the others.
    answer = ask(servers[0], "", "/pid")
    assert answer.status == 200
    assert '"address";r=94;' in answer.get("RateLimit")
    assert sorted(redis.keys()) == ["test:limit:address:a:127.0.0.1", "test:limit:route:r:/ok"]


def test_down_at_the_start(gateway: Callable[..., Server]) -> None:
    """It starts and limits by itself, says so once, and shares once Redis is there."""
    redis = Redis()
    try:
        server = gateway(redis.url)
        server.log.wait_for(r"cannot use Redis.* see whether it runs, and whether redis\.url names it")
        assert passes(server, "a", 25) == 20
        assert metric(server, "pyspeed_redis_up") == 0
        redis.start()
        server.log.wait_for("Redis is back")
        assert passes(server, "b", 1) == 1
        eventually(redis.keys, "something is shared")
        assert len(server.log.wait_for("cannot use Redis")) == 1
        assert server.log.since().count(b"cannot use Redis") == 1
        assert metric(server, "pyspeed_redis_up") == 1
    finally:
        redis.stop()


@pytest.mark.parametrize("edge", EDGES)
def test_killed_under_load(gateway: Callable[..., Server], redis: Redis, edge: str) -> None:
    """No request fails, none gets on twice, and no key passes more often than it may, whatever Redis had counted."""
    server = gateway(redis.url, edge=edge, rules=[{**RULE, "rate": "200/d"}])
    statuses: dict[str, list[int]] = {f"key{n}": [] for n in range(3)}
    failed: list[BaseException] = []
    begun, killed = threading.Barrier(7), threading.Event()

    def client() -> None:
        try:
            with Connection(server.address) as connection:
                begun.wait()
                while not killed.is_set() or len(statuses["key0"]) < 300:
                    for key, seen in statuses.items():
                        seen.append(connection.request("GET", "/ok", [("X-Key", key)]).status)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=client) for _ in range(6)]
    for thread in threads:
        thread.start()
    begun.wait()
    eventually(lambda: len(statuses["key0"]) > 50, "under load")
    redis.kill()
    server.log.wait_for("cannot use Redis")
    killed.set()
    for thread in threads:
        thread.join()
    assert not failed
    for seen in statuses.values():
        assert set(seen) == {200, 429} and seen.count(200) == 200
    allowed = metric(server, 'pyspeed_rate_limit_requests_total{rule="api",result="allowed"}')
    limited = metric(server, 'pyspeed_rate_limit_requests_total{rule="api",result="limited"}')
    assert (allowed, limited) == (600, sum(seen.count(429) for seen in statuses.values()))
    assert server.log.since().count(b"cannot use Redis") == 1
    redis.start()
    server.log.wait_for("Redis is back")


def test_slow(gateway: Callable[..., Server], redis: Redis) -> None:
    """Nobody waits longer than the timeout for it, each request is counted once, and soon nobody waits at all."""
    with Proxy(redis) as proxy:
        proxy.hold()
        server = gateway(proxy.url, timeout="50ms")
        assert passes(server, "a", 25) == 20
        server.log.wait_for(r"cannot use Redis.* see what holds it up, or raise redis\.timeout")
        assert metric(server, 'pyspeed_rate_limit_requests_total{rule="api",result="allowed"}') == 20
        assert metric(server, 'pyspeed_rate_limit_requests_total{rule="api",result="limited"}') == 5
        assert metric(server, 'pyspeed_redis_failures_total{kind="timeout"}') >= 3
        assert metric(server, "pyspeed_redis_up") == 0
        calls = metric(server, "pyspeed_redis_calls_total")
        assert passes(server, "b", 10) == 10
        assert metric(server, "pyspeed_redis_calls_total") == calls


def test_nobody_else_waits_for_redis(gateway: Callable[..., Server], redis: Redis) -> None:
    """Requests wait for it beside each other, and those that no shared rule counts not at all."""
    with Proxy(redis) as proxy:
        server = gateway(proxy.url, rules=[{**RULE, "path": "/ok"}])
        assert passes(server, "a", 1) == 1
        proxy.hold()
        waiting = [Connection(server.address) for _ in range(10)]
        for connection in waiting:
            connection.send(request("GET", "/ok", [("X-Key", "a")]))
        with Connection(server.address) as quick:
            for _ in range(20):
                assert quick.request("GET", "/pid").status == 200
        proxy.release()
        for connection in waiting:
            assert connection.read_response().status == 200
            connection.close()
        assert metric(server, 'pyspeed_rate_limit_local_decisions_total{rule="api"}') == 0
        assert passes(server, "a", 20) == 9


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("edge", EDGES)
def test_bodies_arrive_while_redis_is_asked(
    gateway: Callable[..., Server], redis: Redis, tmp_path: Path, nonce: str, interface: str, edge: str
) -> None:
    """An upload of which half is there when Redis is asked, and half comes meanwhile, is whole, and runs once."""
    with Proxy(redis) as proxy:
        server = gateway(proxy.url, interface=interface, edge=edge)
        assert passes(server, "a", 1) == 1
        before = metric(server, "pyspeed_redis_calls_total")
        proxy.hold()
        body = json.dumps({"nonce": nonce, "pad": "x" * 3_000_000}).encode()
        upload = request("POST", "/nonce", [("X-Key", "a"), ("Content-Type", "application/json")], body)
        with Connection(server.address) as connection:
            connection.send(upload[: len(upload) // 2])
            if interface == "asgi":  # else it is asked once the body is complete
                eventually(lambda: metric(server, "pyspeed_redis_calls_total") > before, "Redis is asked")
            connection.send(upload[len(upload) // 2 :])
            eventually(lambda: metric(server, "pyspeed_redis_calls_total") > before, "Redis is asked")
            proxy.release()
            answer = connection.read_response()
            assert answer.status == 200
            assert answer.json()["nonce"] == nonce
            assert answer.get("RateLimit").startswith('"api";r=18;')
        assert (tmp_path / "runs").read_text().split() == [nonce]


def test_clients_that_leave_while_redis_is_asked(
    gateway: Callable[..., Server], redis: Redis, tmp_path: Path, nonce: str
) -> None:
    """They are counted, as Redis was asked, but nothing of theirs runs."""
    with Proxy(redis) as proxy:
        server = gateway(proxy.url)
        assert passes(server, "a", 1) == 1
        before = metric(server, "pyspeed_redis_calls_total")
        proxy.hold()
        for n in range(3):
            with Connection(server.address) as connection:
                connection.send(request("GET", f"/nonce?nonce={nonce}{n}", [("X-Key", "a")]))
                asked = before + n + 1
                eventually(lambda asked=asked: metric(server, "pyspeed_redis_calls_total") >= asked, "Redis is asked")  # type: ignore[misc]
                connection.vanish()
        eventually(lambda: metric(server, "pyspeed_connections") == 0, "the gateway knows that they left")
        proxy.release()
        assert passes(server, "a", 25) == 16
        assert not (tmp_path / "runs").exists()


def test_another_password(gateway: Callable[..., Server]) -> None:
    """It is said what to do, and the password is nowhere."""
    with Redis(password="right-one") as redis:
        for url in (redis.url.replace("right-one", "s3cret"), redis.url.replace(":right-one@", "")):
            server = gateway(url)
            server.log.wait_for(r"cannot use Redis.* correct the user and the password in redis\.url")
            assert passes(server, "a", 25) == 20
            assert b"s3cret" not in server.log.since()
            shown = subprocess.run([binary(), "config", "-c", server.config], capture_output=True, check=True)
            assert b"s3cret" not in shown.stdout + shown.stderr
            assert redis.keys() == []
        server = gateway("", env={"PYSPEED_REDIS_URL": redis.url})
        assert passes(server, "a", 25) == 20
        assert len(redis.keys()) == 1
        assert b"right-one" not in server.log.since()


def test_comes_up_with_another_password(gateway: Callable[..., Server]) -> None:
    """While it is down nothing more is said, unless something else is wrong."""
    with Redis() as redis:
        server = gateway(redis.url)
        assert passes(server, "a", 5) == 5
        redis.kill()
        assert passes(server, "a", 25) == 15
        server.log.wait_for("cannot use Redis.* see whether it runs")
        redis._options = ("--requirepass", "other")
        redis._password = "other"
        redis.start()
        server.log.wait_for("cannot use Redis.* correct the user and the password")
        assert redis("CONFIG", "SET", "requirepass", "") == "OK"
        redis._password = ""
        server.log.wait_for("Redis is back")


def test_cannot_write(gateway: Callable[..., Server]) -> None:
    """A Redis that is full serves nobody."""
    with Redis("--maxmemory", "1", "--maxmemory-policy", "noeviction") as redis:
        server = gateway(redis.url)
        assert passes(server, "a", 25) == 20
        server.log.wait_for(r"cannot use Redis.* have redis\.url name one that takes writes and has room")


def test_tls(gateway: Callable[..., Server], tmp_path: Path) -> None:
    """rediss://, with an authority that SSL_CERT_FILE names; and without, where it must not be trusted."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *more], check=True, capture_output=True)
    options = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no"]
    with Redis(*options) as redis:
        port = free_tls_port(redis)
        server = gateway(f"rediss://127.0.0.1:{port}/2", env={"SSL_CERT_FILE": str(certificate)})
        assert passes(server, "a", 21) == 20
        assert metric(server, 'pyspeed_rate_limit_local_decisions_total{rule="api"}') == 0
        stranger = gateway(f"rediss://127.0.0.1:{port}/2", env={"SSL_CERT_FILE": "/dev/null"})
        stranger.log.wait_for("cannot use Redis.*certificate")
        assert passes(stranger, "b", 21) == 20


def free_tls_port(redis: Redis) -> int:
    """Has it listen on a port with TLS that nobody else has."""
    for _ in range(20):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        try:
            assert redis("CONFIG", "SET", "tls-port", str(port)) == "OK"
        except AssertionError:
            continue  # somebody was faster
        return port
    raise AssertionError("no port is free")
