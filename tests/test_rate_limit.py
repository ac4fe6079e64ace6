"""[[rate_limit]]: who may pass, what the others get, and that nothing of theirs runs.

The rates are so slow that no token comes back while a test runs, on any machine; how fast they come back is a matter of
Go tests, which have the clock in their hands.
"""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import zoo
from harness.client import Connection, Response, fetch, request
from harness.server import Server, Spec
from harness.wire import Head
from harness.zoo import Zoo

pytestmark = pytest.mark.pyspeed

RULES: list[dict[str, Any]] = [
    {"name": "few", "path": ["/nonce", "/ok"], "key": "header:X-Key", "rate": "3/d"},
    {"name": "posts", "path": "/nonce", "methods": ["POST"], "key": "header:X-Key", "rate": "10/d", "burst": 1},
    {"name": "dry", "path": "/pid", "rate": "1/d", "log_only": True},
    {"name": "addresses", "path": "/address", "rate": "2/d", "allow": ["::1"]},
    {"name": "files", "path": "/static", "key": "route", "rate": "2/d"},
    {"name": "many", "path": "/many", "key": "route", "rate": "50/d", "headers": False},
]


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """One server for all tests of an interface: each counts under keys of its own."""
    folder = tmp_path_factory.mktemp("limited")
    root = folder / "public"
    root.mkdir()
    (root / "a.txt").write_text("a file")
    binds = ("127.0.0.1:0", "[::1]:0", f"unix:{folder}/s")
    spec = zoo.spec(
        "plain", request.param, folder, limits=RULES, binds=binds, statics=[{"route": "/static", "root": str(root)}]
    )
    server = Server.start(spec, folder)
    yield Zoo(server, request.param, folder)
    server.stop()


def metric(server: Server, name: str) -> float:
    assert server.admin is not None
    text = fetch(server.admin, "GET", "/metrics").body.decode()
    match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert match, f"no {name} in\n{text}"
    return float(match[1])


def assert_refused(answer: Response, name: str) -> None:
    assert answer.status == 429
    after = int(answer.get("Retry-After"))
    assert 0 < after <= 86400
    assert f'"{name}";r=0;t={after}' in answer.get("RateLimit")
    assert answer.get("Content-Type") == "text/plain; charset=utf-8"


def test_the_burst_passes_and_the_rest_does_not_run(limited: Zoo, nonce: str) -> None:
    key = [("X-Key", nonce)]
    with limited.connect() as connection:
        for left in (2, 1, 0):
            answer = connection.request("GET", f"/nonce?nonce={nonce}{left}", key)
            assert answer.status == 200 and json.loads(answer.body)["nonce"] == f"{nonce}{left}"
            assert answer.get("RateLimit").startswith(f'"few";r={left};t=')
            assert answer.get("RateLimit-Policy") == '"few";q=3;w=86400'
        for _ in range(5):
            answer = connection.request("GET", f"/nonce?nonce={nonce}no", key)
            assert_refused(answer, "few")
            assert answer.body.startswith(b"429 Too Many Requests\n")
        # The connection goes on, and so do other paths and other keys.
        assert connection.request("GET", "/pid", key).status == 200
        assert connection.request("GET", "/ok", key).status == 429
        assert connection.request("GET", "/ok", [("X-Key", f"{nonce}2")]).status == 200
    assert limited.runs(nonce) == {f"{nonce}{left}": 1 for left in range(3)}


def test_pipelined_requests_get_their_own_answers(limited: Zoo, nonce: str) -> None:
    with limited.connect() as connection:
        connection.send(
            b"".join(request("GET", f"/nonce?nonce={nonce}{n}", [("X-Key", nonce)]) for n in range(6))
            + request("GET", "/ok", [("X-Key", f"{nonce}other")])
        )
        answers = [connection.read_response() for _ in range(7)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429, 429, 200]
    assert [json.loads(answer.body)["nonce"] for answer in answers[:3]] == [f"{nonce}{n}" for n in range(3)]
    assert answers[6].body == b"ok"


def test_head_and_json(limited: Zoo, nonce: str) -> None:
    key = [("X-Key", nonce)]
    with limited.connect() as connection:
        for _ in range(3):
            assert connection.request("GET", "/ok", key).status == 200
        answer = connection.request("HEAD", "/ok", key)
        assert_refused(answer, "few")
        assert not answer.body and int(answer.get("Content-Length")) > 0
        answer = connection.request("GET", "/ok", [*key, ("Accept", "application/json")])
        assert answer.status == 429 and answer.get("Content-Type") == "application/problem+json"
        problem = answer.json()
        assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
        assert problem["status"] == 429 and problem["violated-policies"] == ["few"]


@pytest.mark.parametrize("size", [10, 300_000, 30_000_000], ids=["small", "large", "huge"])
def test_a_refused_upload(limited: Zoo, nonce: str, size: int) -> None:
    """It is refused whatever its size; and what is behind it on the connection is not taken for its body."""
    key = [("X-Key", nonce), ("Content-Type", "application/json")]
    body = json.dumps({"nonce": nonce}).encode()
    with limited.connect() as connection:
        answer = connection.request("POST", "/nonce", key, body)
        assert answer.status == 200
        # The rules that let it through have given back what they took: few has two left.
        assert '"few";r=2;' in answer.get("RateLimit") and '"posts";r=0;' in answer.get("RateLimit")
    with limited.connect() as connection:
        large = json.dumps({"nonce": nonce, "pad": "x" * size}).encode()
        connection.send_lenient(request("POST", "/nonce", key, large) + request("GET", "/ok", [("X-Key", nonce)]))
        answer = connection.read_response()
        assert_refused(answer, "posts")
        assert '"few";r=2;' in answer.get("RateLimit")
        if answer.get("Connection") != "close":
            assert connection.read_response().body == b"ok"
    assert limited.runs(nonce) == {nonce: 1}


def test_a_refused_client_that_asks_before_it_sends(limited: Zoo, nonce: str) -> None:
    key = [("X-Key", nonce)]
    for _ in range(3):
        assert fetch(limited.address, "GET", "/ok", key).status == 200
    with limited.connect() as connection:
        fields = [*key, ("Content-Length", "5"), ("Expect", "100-continue")]
        connection.send(request("POST", "/nonce", fields))
        events = connection.events("POST")
        head = next(events)
        assert isinstance(head, Head)
        if limited.interface == "wsgi":  # the body is complete before anybody is asked
            assert head.status == 100
            connection.send(b"12345")
            head = next(events)
        assert isinstance(head, Head) and head.status == 429


def test_log_only(limited: Zoo) -> None:
    before = metric(limited.server, 'pyspeed_rate_limit_requests_total{rule="dry",result="would_limit"}')
    for _ in range(4):
        answer = limited.get("/pid")
        assert answer.status == 200 and not answer.get("RateLimit")
    assert metric(limited.server, 'pyspeed_rate_limit_requests_total{rule="dry",result="would_limit"}') >= before + 3
    limited.server.log.wait_for(
        r"this rate limit would have refused a request.* rule=dry key=127\.0\.0\.1 method=GET path=/pid"
    )


def test_addresses(limited: Zoo) -> None:
    four, six, unix = limited.server.addresses
    assert [fetch(four, "GET", "/address").status for _ in range(4)] == [404, 404, 429, 429]
    # ::1 is allowed, and who has no address is not counted: both are said to nobody.
    for address in (six, unix):
        for _ in range(4):
            answer = fetch(address, "GET", "/address")
            assert answer.status == 404 and not answer.get("RateLimit")
    # Under a rule by a field, those without it are counted by their address.
    assert [fetch(six, "GET", "/ok").status for _ in range(4)] == [200, 200, 200, 429]
    limited.server.log.wait_for("clients on a unix socket have no address.* rule=addresses")


def test_files_are_counted_too(limited: Zoo) -> None:
    assert [limited.get("/static/a.txt").status for _ in range(4)] == [200, 200, 429, 429]


def test_many_at_once(limited: Zoo) -> None:
    """Of 80 requests at the same time exactly the 50 pass."""
    barrier = threading.Barrier(8)
    statuses: list[int] = []

    def client() -> None:
        with limited.connect() as connection:
            barrier.wait()
            for _ in range(10):
                answer = connection.request("GET", "/many")
                assert not answer.get("RateLimit")
                statuses.append(answer.status)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [404] * 50 + [429] * 30
    assert metric(limited.server, 'pyspeed_rate_limit_requests_total{rule="many",result="allowed"}') == 50
    assert metric(limited.server, 'pyspeed_rate_limit_requests_total{rule="many",result="limited"}') == 30


def test_counts_outlive_a_reload(start: Callable[[Spec], Server], tmp_path: Path) -> None:
    """Another rate holds for what was counted, on connections that were open before too."""
    server = start(zoo.spec("plain", "wsgi", tmp_path, limits=[{"name": "a", "path": "/ok", "rate": "4/d"}]))

    def reload(*rules: dict[str, Any]) -> None:
        mark = server.log.mark()
        server.spec = replace(server.spec, limits=rules)
        server.configure()
        server.signal(signal.SIGHUP)
        server.log.wait_for("the configuration has changed.*rate_limit", since=mark)

    def left(connection: Connection) -> str:
        answer = connection.request("GET", "/ok")
        match = re.match(r'"a";r=(\d+);', answer.get("RateLimit"))
        return f"{answer.status} {match[1] if match else '-'}"

    with Connection(server.address) as connection:
        assert [left(connection) for _ in range(3)] == ["200 3", "200 2", "200 1"]
        reload({"name": "a", "path": "/ok", "rate": "100/d", "burst": 5})
        assert [left(connection) for _ in range(2)] == ["200 0", "429 0"]
        reload({"name": "a", "path": "/ok", "rate": "100/d", "burst": 5}, {"name": "b", "key": "route", "rate": "1/d"})
        assert left(connection) == "429 0"
        reload()
        assert left(connection) == "200 -"
        reload({"name": "a", "path": "/ok", "rate": "100/d", "burst": 5})
        assert left(connection) == "200 4"


def test_a_rate_that_is_none(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(zoo.spec("plain", "wsgi", tmp_path, limits=[{"rate": "10 per second"}]), ready=False)
    assert server.wait_exit() == 1
    server.log.wait_for(r"rate_limit\.rate .*: expected requests in a time of whole seconds.*10 per second")
