"""[cache]: answers that several clients may have are asked for once; row 63 of the table of bad inputs."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import EDGES, Shop
from harness import processes, zoo
from harness.client import Address, Connection, Response, fetch, request
from harness.server import Server, binary, clean_environment
from harness.waiting import eventually
from harness.wire import Data
from harness.zoo import Zoo

pytestmark = pytest.mark.pyspeed

MIB = 1024 * 1024
MINUTE = ("Cache-Control", "max-age=60")
ROUTES = [
    {"path": "/off", "off": True},
    {"path": "/ttl", "ttl": "1h", "query_ignore": ["utm_*", "gclid"], "headers": ["x-lang"]},
    {"path": "/pages/*.html", "ttl": "1h", "remove_cookies": True, "remove_set_cookie": True, "query_only": ["page"]},
    {"path": "/assets/**", "ttl": "1h"},
]


def say(*pairs: tuple[str, str], **more: Any) -> tuple[str, str]:
    """The field that has the application answer so."""
    return ("X-Say", json.dumps({"fields": pairs, **more}))


class Cached(Zoo):
    def ask(self, target: str, *fields: tuple[str, str], method: str = "GET") -> Response:
        host = dict(fields).get("Host", self.address.authority)
        with self.connect() as connection:
            connection.send(request(method, target, [f for f in fields if f[0] != "Host"], host=host))
            return connection.read_response(method)

    def metric(self, name: str) -> float:
        assert self.server.admin
        lines = fetch(self.server.admin, "GET", "/metrics").body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(binary()), "ctl", "--socket", str(self.server.config.with_name("pyspeed.sock")), *arguments]
        return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=30)


@pytest.fixture(scope="module")
def _start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Cached]]:
    running: list[Server] = []

    def start(kind: str, edge: str, cache: dict[str, Any] | None = None, **more: Any) -> Cached:
        interface = {"flask": "wsgi", "fastapi": "asgi"}[kind]
        folder = tmp_path_factory.mktemp(kind)
        settings = {"cache": {"enabled": True, **(cache or {})}, **more.pop("settings", {})}
        spec = zoo.spec(f"caching_{kind}", interface, folder, settings=settings, cache_routes=ROUTES, **more)
        spec.edge = edge
        running.append(Server.start(spec, folder))
        return Cached(running[-1], interface, folder)

    yield start
    for server in running:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="module", params=[("flask", EDGES[0]), ("fastapi", EDGES[-1])], ids=lambda p: "-".join(p))
def cached(request: pytest.FixtureRequest, _start: Callable[..., Cached]) -> Cached:
    """One of each kind, shared by the tests of this module; each uses paths of its own."""
    return _start(*request.param)


def test_a_hit_is_equal(cached: Cached, nonce: str) -> None:
    first = cached.ask(f"/{nonce}", say(("Cache-Control", "max-age=600"), ("ETag", '"1"'), ("X-Own", "ä")))
    for _ in range(5):
        again = cached.ask(f"/{nonce}")
        assert (again.status, again.body) == (200, first.body)
        assert again.get("Cache-Status").startswith("pyspeed; hit; ttl=")
        assert 0 <= int(again.get("Age")) < 600
        for name in ("Content-Type", "ETag", "X-Own", "Content-Length"):
            assert again.get(name) == first.get(name) != "", name
        # The edge and the cache each note when the application's answer came, which gave no Date.
        apart = parsedate_to_datetime(again.get("Date")) - parsedate_to_datetime(first.get("Date"))
        assert abs(apart.total_seconds()) <= 30
    assert first.get("Cache-Status").startswith("pyspeed; fwd=uri-miss; stored")
    head = cached.ask(f"/{nonce}", method="HEAD")
    assert head.get("Content-Length") == str(len(first.body)) and not head.body
    assert cached.ask(f"/{nonce}", ("If-None-Match", '"1"')).status == 304
    part = cached.ask(f"/{nonce}", ("Range", "bytes=2-5"))
    assert (part.status, part.body) == (206, first.body[2:6])
    assert cached.runs(f"/{nonce}") == {f"/{nonce}": 1}


def test_a_stampede_costs_one_call(cached: Cached, nonce: str) -> None:
    """1,000 connections ask at once for what nobody has asked for."""
    target = f"/{nonce}"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    connections = [Connection(cached.address) for _ in range(1000)]
    try:
        question = request("GET", target, [say(MINUTE, gate=nonce, size=5000)])
        for connection in connections:
            connection.send(question)
        cached.wait_for_run(target)
        cached.open_gate(nonce)
        bodies = {connection.read_response().body for connection in connections}
    finally:
        for connection in connections:
            connection.close()
    assert len(bodies) == 1 and len(bodies.pop()) == 5000
    assert cached.runs(target) == {target: 1}


def test_what_is_private_is_nobody_elses(cached: Cached, nonce: str) -> None:
    """200 clients ask at once; every one gets an answer that was made for it."""
    target = f"/{nonce}"
    for fields in ([("Cache-Control", "private, max-age=60")], [MINUTE, ("Set-Cookie", "a=b")], []):
        connections = [Connection(cached.address) for _ in range(200)]
        try:
            for number, connection in enumerate(connections):
                connection.send(request("GET", target, [say(*fields), ("Authorization", f"Bearer {number}")]))
            for number, connection in enumerate(connections):
                assert connection.read_response().json()["authorization"] == f"Bearer {number}"
        finally:
            for connection in connections:
                connection.close()
    assert cached.runs(target) == {target: 600}


def test_63_nothing_is_shared_that_is_not_for_all(cached: Cached, nonce: str) -> None:
    count = 0

    def shared(
        first: list[tuple[str, str]], second: list[tuple[str, str]], *answer: tuple[str, str], target: str = ""
    ) -> bool:
        """Whether the second client gets what was made for the first."""
        nonlocal count
        count += 1
        path = target or f"/{nonce}/{count}"
        one = cached.ask(path, say(*answer), *first)
        two = cached.ask(path, say(*answer), *second)
        assert one.status == two.status == 200
        return one.body == two.body

    public = ("Cache-Control", "public, max-age=60")
    assert shared([], [], MINUTE)
    # Who asks.
    alice, bob = [("Authorization", "Basic YQ==")], [("Authorization", "Basic Yg==")]
    assert not shared(alice, bob, MINUTE)
    assert not shared(alice, [], MINUTE)
    assert not shared([], alice, MINUTE)
    assert shared(alice, bob, public)
    cookie = [("Cookie", "session=a")]
    assert not shared(cookie, [("Cookie", "session=b")], MINUTE)
    assert not shared([], cookie, MINUTE)
    assert not shared(cookie, [], ("Cache-Control", "max-age=60, must-revalidate"))
    assert shared(cookie, [("Cookie", "session=b")], public)
    assert not shared(cookie, [], MINUTE, ("Vary", "Cookie"))
    assert shared(cookie, cookie, MINUTE, ("Vary", "Cookie"))
    for identity in ("X-API-Key", "X-Remote-User", "X-Auth-Request-Email", "Remote-User"):
        assert not shared([(identity, "a")], [(identity, "b")], MINUTE), identity
    # What the answer says.
    assert not shared([], [], public, ("Set-Cookie", "a=b"))
    assert not shared([], [], ("Cache-Control", "private, max-age=60"))
    assert not shared([], [], ("Cache-Control", "no-store"))
    assert not shared([], [], MINUTE, ("Vary", "*"))
    assert not shared([("X-Lang", "de")], [("X-Lang", "en")], MINUTE, ("Vary", "X-Lang"))
    assert not shared(
        [("Origin", "https://a")], [("Origin", "https://b")], MINUTE, ("Access-Control-Allow-Origin", "https://a")
    )
    # The host, and what an application may take for it.
    assert not shared([("Host", "a.example")], [("Host", "b.example")], MINUTE)
    assert shared([("Host", "a.example:80")], [("Host", "A.EXAMPLE")], MINUTE)
    for name in (
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Host",
        "X-Original-Host",
        "X-Forwarded-Server",
    ):
        assert not shared([(name, "evil")], [], MINUTE), name
    assert not shared([("Forwarded", "for=1.2.3.4;host=evil")], [("Forwarded", "for=1.2.3.4")], MINUTE)
    assert shared([("Forwarded", "for=1.2.3.4")], [("Forwarded", "for=5.6.7.8")], MINUTE)
    assert shared([("X-Forwarded-For", "1.2.3.4")], [("X-Forwarded-For", "5.6.7.8")], MINUTE)
    # What makes another request of it.
    for name in ("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        assert not shared([(name, "/admin")], [], MINUTE), name
    # Queries are part of it.
    path = f"/{nonce}/query"
    assert cached.ask(path + "?cb=1", say(MINUTE)).body != cached.ask(path + "?cb=2", say(MINUTE)).body
    # Cache deception: a path that looks like a file, of which nobody but a rule says that it may be kept.
    assert not shared([], [], target=f"/assets/account/{nonce}.css")


def test_63_bodies_and_parts(cached: Cached, nonce: str) -> None:
    """A GET with a body, HEAD, 206 and 304 put nothing into the cache."""
    path = f"/{nonce}"
    with Connection(cached.address) as connection:
        for body in (b"one", b"two"):
            assert connection.request("GET", path, [say(MINUTE)], body).status == 200
        assert connection.request("HEAD", path, [say(MINUTE)]).status == 200
        partial = say(MINUTE, ("Content-Range", "bytes 0-1/9"), status=206, text="ab")
        assert connection.request("GET", path, [partial, ("Range", "bytes=0-1")]).status == 206
        assert connection.request("GET", path, [say(status=304)]).status == 304
        whole = connection.request("GET", path, [say(MINUTE)])
        assert whole.get("Cache-Status").startswith("pyspeed; fwd=uri-miss")
        assert (
            connection.request("GET", "http://other.example" + path).get("Cache-Status")
            == "pyspeed; fwd=bypass; detail=target"
        )
    assert cached.runs(path)[path] == 7


def test_unsafe_methods_invalidate(cached: Cached, nonce: str) -> None:
    path = f"/{nonce}"
    for method in ("POST", "PUT", "DELETE"):
        before = cached.ask(path, say(MINUTE)).body
        assert cached.ask(path).body == before
        assert cached.ask(path, say(status=204, text=""), method=method).status == 204
        assert cached.ask(path, say(MINUTE)).body != before
    kept = cached.ask(path).body
    cached.ask(path, say(status=500), method="POST")
    assert cached.ask(path).body == kept
    cached.ask(f"/{nonce}/new", say(("Location", path), status=303), method="POST")
    assert cached.ask(path, say(MINUTE)).body != kept


def test_stale_while_the_application_is_asked(cached: Cached, nonce: str) -> None:
    path = f"/{nonce}"
    old = cached.ask(path, say(("Cache-Control", "max-age=0, stale-while-revalidate=600"))).body
    new = say(("Cache-Control", "max-age=600"), text="new", gate=nonce)
    for _ in range(3):  # nobody waits for it
        assert cached.ask(path, new).body == old
    eventually(lambda: cached.runs(path)[path] == 2, "the application is asked")
    assert cached.ask(path).body == old
    cached.open_gate(nonce)
    eventually(lambda: cached.ask(path, new).body == b"new", "the new answer")
    assert cached.runs(path)[path] == 2


def test_stale_if_the_application_fails(cached: Cached, nonce: str) -> None:
    path = f"/{nonce}"
    old = cached.ask(path, say(("Cache-Control", "max-age=0, stale-if-error=600"))).body
    failed = cached.ask(path, say(status=503, text="down"))
    assert (failed.status, failed.body) == (200, old)
    assert failed.get("Cache-Status").startswith("pyspeed; fwd=stale; fwd-status=503; ttl=")
    assert cached.ask(path, say(MINUTE, text="up")).body == b"up"


def test_validation(cached: Cached, nonce: str) -> None:
    path = f"/{nonce}"
    first = cached.ask(path, say(("Cache-Control", "no-cache"), ("ETag", '"1"')))
    again = cached.ask(path, say(("ETag", '"1"'), ("X-More", "1"), status=304, text=""))
    assert (again.status, again.body, again.get("X-More")) == (200, first.body, "1")
    assert again.get("Cache-Status").startswith("pyspeed; fwd=stale; fwd-status=304")
    assert cached.runs(path)[path] == 2


def test_rules(cached: Cached, nonce: str) -> None:
    """A TTL for an application that says nothing; what is not in the key does not reach it."""

    def ask(target: str, *fields: tuple[str, str]) -> Any:
        return cached.ask(target, *fields).json()

    ttl = f"/ttl/{nonce}"
    first = ask(ttl + "?a=1&utm_source=x&gclid=2")
    assert first["query"] == "a=1"
    assert ask(ttl + "?a=1&utm_source=y") == ask(ttl + "?a=1") == first
    assert ask(ttl + "?a=2") != first
    assert ask(ttl + "?a=1", ("X-Lang", "de")) != first
    assert ask(ttl + "?a=1", ("X-Lang", "de")) == ask(ttl + "?a=1", ("X-Lang", "de"))
    # A rule says nothing of who has signed in, nor of errors.
    assert ask(ttl + "?a=1", ("Cookie", "s=1")) != ask(ttl + "?a=1", ("Cookie", "s=1")) != first
    assert ask(ttl + "?a=1", ("Authorization", "x")) != first
    assert cached.ask(ttl + "?e", say(status=404)).status == 404
    assert cached.ask(ttl + "?e").status == 200
    # Unless the application is not to know who it is.
    page = f"/pages/{nonce}.html"
    signed = cached.ask(page + "?page=2&x=y", say(("Set-Cookie", "a=b")), ("Cookie", "s=1"))
    assert (signed.json()["cookie"], signed.json()["query"], signed.get("Set-Cookie")) == ("", "page=2", "")
    assert cached.ask(page + "?page=2", ("Cookie", "s=2")).body == signed.body
    off = cached.ask(f"/off/{nonce}", say(MINUTE))
    assert not off.get("Cache-Status") and cached.ask(f"/off/{nonce}", say(MINUTE)).body != off.body


def test_purge(cached: Cached, nonce: str) -> None:
    tags = [MINUTE, ("Cache-Tag", f"{nonce}-a, {nonce}-b")]
    paths = [f"/{nonce}/{n}" for n in range(3)]

    def fill() -> list[bytes]:
        answers = [cached.ask(path, say(*tags)) for path in paths]
        assert not any(answer.get("Cache-Tag") for answer in answers)
        return [answer.body for answer in answers]

    def purge(*arguments: str) -> int:
        done = cached.ctl("purge", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        number: int = json.loads(done.stdout)["answers"]
        return number

    before = fill()
    assert fill() == before
    assert purge(paths[0]) == 1
    after = fill()
    assert after[0] != before[0] and after[1:] == before[1:]
    assert purge(f"http://{cached.address.authority}{paths[1]}") == 1
    assert purge("--prefix", f"/{nonce}/") == 2
    assert len(set(fill() + before)) == 6
    assert purge("--tag", f"{nonce}-b") == 3
    assert purge("--tag", f"{nonce}-b") == 0
    fill()
    assert "removed from the cache" in cached.ctl("purge", "--all").stdout
    assert not set(fill()) & set(before)
    assert cached.ctl("purge").returncode == 2
    assert cached.ctl("purge", paths[0], "--all").returncode == 2


def test_large_answers_and_slow_readers(cached: Cached, nonce: str) -> None:
    """100 clients that stopped reading share the bytes that are kept; what is too large passes."""
    path = f"/{nonce}"
    big = cached.ask(path, say(MINUTE, size=MIB))
    assert cached.ask(path).body == big.body and cached.runs(path)[path] == 1
    before = processes.peak_rss(cached.server.pid)
    readers = [Connection(cached.address, receive_buffer=4096, receive_size=4096) for _ in range(100)]
    try:
        for reader in readers:
            reader.send(request("GET", path))
        for reader in readers:
            next(event for event in reader.events() if isinstance(event, Data))
        assert cached.ask(path).body == big.body
        assert processes.peak_rss(cached.server.pid) - before < 60 * MIB
    finally:
        for reader in readers:
            reader.vanish()
    huge = f"/{nonce}/huge"
    assert len(cached.ask(huge, say(MINUTE, size=5 * MIB)).body) == 5 * MIB
    assert cached.ask(huge, say(MINUTE, size=10)).status == 200 and cached.runs(huge)[huge] == 2


def test_events_arrive_as_they_happen(start_shop: Callable[..., Shop], nonce: str) -> None:
    """An event stream passes, event by event; who asks for the same meanwhile does not wait for its end."""
    shop = start_shop("fastapi", EDGES[0], settings={"cache": {"enabled": True}})
    with shop.connect() as watcher, shop.connect() as second, shop.connect() as till:
        watchers = []
        for one in (watcher, second):
            one.send(request("GET", f"/orders/{nonce}/events"))
            watchers.append(one.events())
        for status in ("paid", "packed", "shipped", "delivered"):
            fields = [("Content-Type", "application/json")]
            assert (
                till.request("POST", f"/orders/{nonce}/events", fields, b'{"status": "%s"}' % status.encode()).status
                == 201
            )
            for events in watchers:
                got = b""
                while not got.endswith(b"\n\n"):
                    event = next(events)
                    got += event.data if isinstance(event, Data) else b""
                assert got == b'data: {"status": "%s"}\n\n' % status.encode()


def test_metrics(cached: Cached, nonce: str) -> None:
    counted = {
        result: cached.metric(f'pyspeed_cache_requests_total{{result="{result}"}}')
        for result in ("hit", "miss", "pass")
    }
    cached.ask(f"/{nonce}", say(MINUTE))
    cached.ask(f"/{nonce}")
    cached.ask(f"/{nonce}", method="POST")
    for result, before in counted.items():
        assert cached.metric(f'pyspeed_cache_requests_total{{result="{result}"}}') == before + 1, result
    assert cached.metric("pyspeed_cache_answers") >= 0 and cached.metric("pyspeed_cache_bytes") > 0


@pytest.mark.parametrize("edge", EDGES)
def test_encoded_once(_start: Callable[..., Cached], edge: str, nonce: str) -> None:
    """With [compress] each client gets its encoding of the one answer."""
    one = _start("flask", edge, settings={"compress": {"enabled": True, "min_size": 100}})
    path = f"/{nonce}"
    fields = say(MINUTE, ("ETag", '"1"'), size=200_000)
    plain = cached_body(one.address, path, fields)

    def unmodified(accepted: str) -> tuple[str, str]:
        answer = one.ask(path, ("Accept-Encoding", accepted), ("If-None-Match", 'W/"1"'))
        assert answer.status == 304
        return answer.get("ETag"), answer.get("Vary")

    for _ in range(2):
        # The fields of the 200 (RFC 9110 section 15.4.5), whether or not it was made already.
        assert unmodified("gzip") == ('W/"1"', "Accept-Encoding")
        assert unmodified("identity") == ('"1"', "Accept-Encoding")
        for accepted in ("gzip", "zstd, gzip;q=0.5", "br", "identity", ""):
            answer = one.ask(path, ("Accept-Encoding", accepted))
            assert answer.get("Cache-Status").startswith("pyspeed; hit") and answer.get("Vary") == "Accept-Encoding"
            if accepted == "gzip":
                assert answer.get("Content-Encoding") == "gzip" and answer.get("ETag") == 'W/"1"'
                assert zlib.decompress(answer.body, 31) == plain
            elif accepted in ("identity", ""):
                assert answer.body == plain and not answer.get("Content-Encoding")
            else:
                assert answer.get("Content-Encoding") == accepted.split(",")[0] and len(answer.body) < len(plain)
    assert one.runs(path) == {path: 1}


def cached_body(address: Address, path: str, *fields: tuple[str, str]) -> bytes:
    answer = fetch(address, "GET", path, fields)
    assert answer.status == 200
    return answer.body


def test_reload_and_settings(_start: Callable[..., Cached], nonce: str) -> None:
    """What is kept outlives a reload, unless it is not to; the cache is turned on and off at once."""
    one = _start("flask", EDGES[0])
    path = f"/{nonce}"
    first = one.ask(path, say(MINUTE)).body

    def reload(**cache: Any) -> None:
        one.server.configure(cache=cache)
        mark = one.server.log.mark()
        done = one.ctl("reload")
        assert done.returncode == 0, done.stderr
        one.server.log.wait_for("pyspeed-gw ctl: reload", mark)

    reload()
    assert one.ask(path).body == first
    reload(purge_on_reload=True)
    second = one.ask(path, say(MINUTE)).body
    assert second != first and one.ask(path).body == second
    reload(enabled=False, purge_on_reload=False)
    assert one.ask(path).body != second and not one.ask(path).get("Cache-Status")
    refused = one.ctl("purge", "--all")
    assert refused.returncode == 1 and "turn it on with cache.enabled" in refused.stderr
    one.ask(path, method="POST")
    reload(enabled=True)
    assert one.ask(path).body != second
    one.server.signal(signal.SIGHUP)


def test_a_change_is_seen_under_reload(start: Callable[..., Server], tmp_path: Path) -> None:
    """In development the browser gets what the new code says."""
    module = tmp_path / "page.py"
    head = "def app(environ, start_response):\n    start_response('200 OK', [('Cache-Control', 'max-age=600')])\n"
    module.write_text(head + "    return [b'old']\n")
    spec = zoo.spec(
        "page:app", "wsgi", tmp_path, settings={"cache": {"enabled": True}, "reload": {"enabled": True}}, workers=1
    )
    spec.directory = tmp_path
    server = start(spec)
    assert fetch(server.address, "GET", "/").body == b"old"
    assert fetch(server.address, "GET", "/").get("Cache-Status").startswith("pyspeed; hit")
    module.write_text(head + "    return [b'newer']\n")
    eventually(lambda: fetch(server.address, "GET", "/").body == b"newer", "the new code answers")


def test_hits_beside_crowds(cached: Cached, nonce: str) -> None:
    """Eight threads on connections of their own, over few pages that change: nobody gets another page's answer."""
    wrong: list[str] = []

    def work(seed: int) -> None:
        with Connection(cached.address) as connection:
            for turn in range(150):
                name = f"/{nonce}/{(seed * 7 + turn) % 12}"
                if turn % 40 == seed:
                    connection.request("POST", name, [say(text="")])
                    continue
                answer = connection.request("GET", name, [say(MINUTE, text=name * 30)])
                if answer.body != (name * 30).encode():
                    wrong.append(f"{name}: {answer.body[:80]!r}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
