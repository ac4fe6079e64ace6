"""[[upstream]]: FastCGI responders behind the gateway, and the command probe."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bad_input import SCRIPT_PATHS, ScriptPath
from conftest import EDGES, stop_all
from harness import processes
from harness.client import Connection, Response, chunked, fetch, request
from harness.responder import OVERLOADED, STDERR, STDOUT, Call, Responder, answer, end, record, stream
from harness.server import REPOSITORY, Server, Spec, binary
from harness.waiting import eventually
from harness.wire import Data, FramingError, Head

pytestmark = pytest.mark.pyspeed

MIB = 1024 * 1024
PART = b"x" * 65535


@dataclass
class Site:
    """A responder that knows what to do from the path, and a gateway in front of it."""

    server: Server
    calls: list[str] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def get(self, target: str) -> Response:
        return fetch(self.server.address, "GET", target)

    def metrics(self) -> str:
        assert self.server.admin is not None
        return fetch(self.server.admin, "GET", "/metrics").body.decode()


def handler(site: Site) -> Callable[[Call], None]:
    def handle(call: Call) -> None:
        site.calls.append(call.params["REQUEST_URI"])
        name = call.path.rsplit("/", 1)[-1]
        if name == "params":
            call.send(answer(json.dumps(call.params).encode()))
        elif name == "digest":
            digest, size = hashlib.sha256(), 0
            for part in iter(call.read, b""):
                digest.update(part)
                size += len(part)
            told = call.params.get("CONTENT_LENGTH")
            call.send(answer(json.dumps([size, told, digest.hexdigest()]).encode()))
        elif name == "parts":  # one part for each that arrives
            call.send(stream(STDOUT, b"Content-Type: text/plain\r\n\r\n"))
            for part in iter(call.read, b""):
                call.send(stream(STDOUT, part))
            call.send(end())
        elif name == "early":
            call.send(answer(b"early", b"Status: 403\r\n"))
            call.keep = False
        elif name == "big":
            call.send(stream(STDOUT, b"X-Long: " + b"v" * 65536 + b"\r\n\r\n"))
            for _ in range(800):
                call.send(stream(STDOUT, PART))
            call.send(end())
        elif name == "dies":
            call.sock.close()
            raise EOFError
        elif name == "dies-later":
            call.send(stream(STDOUT, b"X-A: b\r\n\r\n") + stream(STDOUT, PART) * 3)
            call.keep = False
        elif name == "overloaded":
            call.send(end(0, OVERLOADED))
        elif name == "noisy":
            call.send(stream(STDERR, b"a line\n\x1b[31mforged\r2026 INFO other\n") + stream(STDERR, b"y\n" * 100_000))
            call.send(answer(b"quiet"))
        elif name == "waits":
            site.begun.release()
            site.gate.wait(30)
            call.send(answer(b"waited"))
        elif name == "hangs":
            call.send(stream(STDOUT, b"X-A: b\r\n\r\nbegun"))
            site.left.append(next(kind for kind, _ in iter(call.next, None) if kind != 5))
        else:
            call.send(answer(b"script " + call.params.get("SCRIPT_FILENAME", "-").encode()))

    return handle


def spec(edge: str, *entries: dict[str, Any], target: str = "", **settings: Any) -> Spec:
    return Spec(
        target=target, directory=REPOSITORY / "examples" / "flask_shop", edge=edge, workers=1,
        upstreams=entries, settings={"log": {"access": "json"}, **settings},
    )  # fmt: skip


@pytest.fixture(scope="module")
def _sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Site]]:
    running: dict[str, tuple[Site, Responder]] = {}

    def get(edge: str) -> Site:
        if edge not in running:
            folder = tmp_path_factory.mktemp(edge)
            site = Site(None)  # type: ignore[arg-type]
            responder = Responder(folder / "s", handler(site))
            entry = {"route": "/", "address": responder.address, "keep_alive": edge == "conn"}
            site.server = Server.start(spec(edge, entry, server={"buffer_body": "64KiB"}), folder)
            running[edge] = site, responder
        return running[edge][0]

    yield get
    stop_all(site.server for site, _ in running.values())
    for _, responder in running.values():
        with responder:
            pass


@pytest.fixture(params=EDGES)
def site(request: pytest.FixtureRequest, _sites: Callable[[str], Site]) -> Iterator[Site]:
    one = _sites(request.param)
    request.node.servers = [one.server]
    yield one
    assert one.get("/alive").status == 200


def test_parameters(site: Site) -> None:
    fields = [("X-Long", "v" * 50_000), ("Cookie", "a=1"), ("Cookie", "b=2"), ("X_A", "evil"), ("Proxy", "evil")]
    with Connection(site.server.address) as connection:
        params = connection.request("GET", "/a%20b/%C3%A9/params?q=%20", [*fields, ("Script-Name", "x")]).json()
    assert params["REQUEST_URI"] == "/a%20b/%C3%A9/params?q=%20"
    assert params["PATH_INFO"].encode("latin-1").decode() == "/a b/é/params"
    assert params["HTTP_X_LONG"] == "v" * 50_000
    assert params["HTTP_COOKIE"] == "a=1; b=2"
    assert (params["SCRIPT_NAME"], params["HTTP_SCRIPT_NAME"]) == ("", "x")
    assert params["SERVER_PORT"] == str(site.server.address.port)
    assert not {"HTTP_X_A", "HTTP_PROXY", "CONTENT_LENGTH", "SCRIPT_FILENAME"} & params.keys()


@pytest.mark.parametrize("size", [0, 1, 60_000, 70_000, 20 * MIB])
def test_bodies(site: Site, size: int) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    want = [size, str(size), hashlib.sha256(body).hexdigest()]
    with Connection(site.server.address) as connection:
        got = connection.request("POST", "/digest", [] if size else [("Content-Length", "0")], body)
        assert got.json() == want
        # CGI has to be told the length: a chunked body is complete before the responder hears of it.
        connection.send(request("POST", "/digest", [("Transfer-Encoding", "chunked")]))
        connection.send(chunked([body[at : at + 50_000] for at in range(0, size, 50_000)]))
        assert connection.read_response().json() == want


def test_big_answer(site: Site) -> None:
    got = site.get("/big")
    assert got.body == PART * 800
    assert got.get("x-long") == "v" * 65536


def test_streams_both_ways(site: Site) -> None:
    with Connection(site.server.address) as connection:
        connection.send(request("POST", "/parts", [("Content-Length", "100000")]))
        events = connection.events("POST")
        assert isinstance(next(events), Head)
        sent = 0
        for size in (1, 9, 990, 99_000):
            connection.send(b"p" * size)
            sent += size
            while sent:  # arrives before more is sent
                event = next(events)
                assert isinstance(event, Data)
                sent -= len(event.data)


def test_early_answer(site: Site) -> None:
    with Connection(site.server.address) as connection:
        connection.send(request("POST", "/early", [("Content-Length", str(10 * MIB))]) + b"begin")
        got = connection.read_response("POST")
        assert (got.status, got.body) == (403, b"early")


def test_head(site: Site) -> None:
    with Connection(site.server.address) as connection:
        for _ in range(3):
            assert connection.request("HEAD", "/whatever").body == b""


def test_client_leaves(site: Site) -> None:
    site.left.clear()
    connection = Connection(site.server.address)
    connection.send(request("GET", "/hangs"))
    events = connection.events()
    assert [type(next(events)), type(next(events))] == [Head, Data]
    connection.vanish()
    eventually(lambda: site.left == [2], "the responder hears ABORT_REQUEST")


def test_46_responder_dies(site: Site) -> None:
    asked = len(site.calls)
    assert site.get("/dies").status == 502
    with Connection(site.server.address) as connection, pytest.raises(FramingError):
        connection.request("GET", "/dies-later")
    assert site.calls[asked:] == ["/dies", "/dies-later"], "a request was sent twice"
    got = site.get("/overloaded")
    assert (got.status, got.get("retry-after")) == (503, "1")
    metrics = site.metrics()
    assert 'pyspeed_failures_total{kind="upstream_died"} 2' in metrics
    assert 'pyspeed_failures_total{kind="upstream_overloaded"} 1' in metrics
    assert 'pyspeed_upstream_up{upstream="/",address="unix:' in metrics


def test_65_error_output(site: Site) -> None:
    mark = site.server.log.mark()
    assert site.get("/noisy").body == b"quiet"
    site.server.log.wait_for(r"WARNING a line upstream=/ address=unix:.* stream=stderr", mark)
    site.server.log.wait_for(r"WARNING \\x1b\[31mforged\\r2026 INFO other", mark)
    site.server.log.wait_for(r"dropped \d+ (lines|bytes)", mark)


def test_access_log(site: Site) -> None:
    mark = site.server.log.mark()
    site.get("/logged")
    line = json.loads(site.server.log.wait_for(r"^(\{.*/logged.*\})", mark)[0][1])
    assert line["status"] == 200
    assert line["worker"].startswith("unix:")


def test_answers_do_not_mix(site: Site) -> None:
    def ask(number: int) -> None:
        with Connection(site.server.address) as connection:
            for turn in range(20):
                got = connection.request("GET", f"/params?{number}-{turn}").json()["QUERY_STRING"]
                assert got == f"{number}-{turn}"
                if turn % 5 == 0:
                    other = Connection(site.server.address)
                    other.send(request("GET", "/big"))
                    other.vanish()

    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            ask(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_slow_readers(site: Site) -> None:
    readers = [Connection(site.server.address, receive_buffer=4096) for _ in range(40)]
    try:
        for reader in readers:
            reader.send(request("GET", "/big"))
            assert isinstance(next(reader.events()), Head)
        assert site.get("/alive").status == 200
        assert processes.peak_rss(site.server.pid) < 200 * MIB
    finally:
        for reader in readers:
            reader.close()


@pytest.mark.parametrize("edge", EDGES)
def test_sigterm_finishes_what_runs(tmp_path: Path, start: Callable[..., Server], edge: str) -> None:
    site = Site(None)  # type: ignore[arg-type]
    with Responder(tmp_path / "s", handler(site)) as responder:
        site.server = start(spec(edge, {"route": "/", "address": responder.address}))
        assert site.server.workers() == []
        with Connection(site.server.address) as connection:
            connection.send(request("GET", "/waits"))
            assert site.begun.acquire(timeout=30)
            threading.Thread(target=lambda: site.server.log.wait_for("stopping") and site.gate.set()).start()
            site.server.stop()
            assert connection.read_response().body == b"waited"


def test_routes_beside_an_application(tmp_path: Path, start: Callable[..., Server]) -> None:
    """The longest route in whole segments wins; the rest is the application's."""

    def says(text: bytes) -> Callable[[Call], None]:
        return lambda call: call.send(answer(text + b" " + json.dumps(call.params).encode()))

    with Responder(tmp_path / "a", says(b"a")) as a, Responder(tmp_path / "b", says(b"b")) as b:
        server = start(
            spec(
                "netpoll",
                {"route": "/old/", "address": a.address, "strip_prefix": True},
                {"route": "/old/b", "address": [b.address]},
                target="wsgi:application",
                app={"interface": "wsgi"},
            )
        )

        def who(target: str) -> str:
            return fetch(server.address, "GET", target).body.split()[0].decode()

        assert [who(path) for path in ("/old", "/old/", "/old/bb", "/%6fld/x")] == ["a"] * 4
        assert [who(path) for path in ("/old/b", "/old/b/", "/old/%62/c")] == ["b"] * 3
        assert fetch(server.address, "GET", "/items/1").json()["id"] == 1
        assert fetch(server.address, "GET", "/older").status == 404
        params = json.loads(fetch(server.address, "GET", "/old/x").body[2:])
        assert (params["SCRIPT_NAME"], params["PATH_INFO"]) == ("/old", "/x")
        params = json.loads(fetch(server.address, "GET", "/old/b/x").body[2:])
        assert (params["SCRIPT_NAME"], params["PATH_INFO"]) == ("", "/old/b/x")


@pytest.mark.parametrize("edge", EDGES)
def test_31_bodies_that_are_refused(tmp_path: Path, start: Callable[..., Server], edge: str) -> None:
    """Too large, or too slow: the gateway's own answer, wherever the request is then."""
    site = Site(None)  # type: ignore[arg-type]
    limits = {"server.limits": {"body": MIB}, "server.timeouts": {"body": 0.2}, "server": {"buffer_body": 0}}
    with Responder(tmp_path / "s", handler(site)) as responder:
        server = start(spec(edge, {"route": "/", "address": responder.address}, **limits))
        for status, fields, body in (
            (413, [("Content-Length", str(MIB + 1))], b""),
            (413, [("Transfer-Encoding", "chunked")], chunked([b"x" * MIB, b"y"])),
            (408, [("Transfer-Encoding", "chunked")], b"5\r\nbegin"),
            (408, [("Content-Length", "100000")], b"begin"),
            (400, [("Transfer-Encoding", "chunked")], b"nonsense\r\n"),
        ):
            with Connection(server.address) as connection:
                connection.send_lenient(request("POST", "/digest", fields) + body)
                assert connection.read_response("POST").status == status
        assert fetch(server.address, "GET", "/alive").status == 200
        assert server.admin is not None
        assert b'upstream_request_body"} 0' in fetch(server.admin, "GET", "/metrics").body


@pytest.fixture(scope="module")
def _scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[str]]]:
    """A gateway that sees the folder of the scripts."""
    folder = tmp_path_factory.mktemp("scripts")
    root = folder / "www"
    for name in ("index.php", "upload/photo.jpg", "upload/x.php", "folder.php/file", "../secret.php"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    (root / "outside.php").symlink_to("../secret.php")
    calls: list[str] = []

    def handle(call: Call) -> None:
        calls.append(call.params["SCRIPT_FILENAME"])
        call.send(answer(json.dumps([call.params["SCRIPT_FILENAME"], call.params["PATH_INFO"]]).encode()))

    with Responder(folder / "s", handle) as responder:
        entry = {"route": "/", "address": responder.address, "root": str(root), "split": ".php"}
        server = Server.start(spec("netpoll", entry), folder)
        yield server, calls
        server.stop()


@pytest.mark.parametrize("row", SCRIPT_PATHS, ids=lambda row: f"{row.row}-{row.what}")
def test_script_paths(_scripts: tuple[Server, list[str]], row: ScriptPath) -> None:
    server, calls = _scripts
    before = len(calls)
    with Connection(server.address) as connection:
        connection.send(b"GET " + row.path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.read_response().status == row.status
    assert calls[before:] == [], "it reached the responder"


def test_scripts(_scripts: tuple[Server, list[str]]) -> None:
    server, _ = _scripts
    root = str(server.spec.upstreams[0]["root"])
    for target, script, info in (
        ("/", "/index.php", ""),
        ("/index.php", "/index.php", ""),
        ("/upload/x.php/in/fo", "/upload/x.php", "/in/fo"),
        ("/%69ndex.php?x.php", "/index.php", ""),
    ):
        assert fetch(server.address, "GET", target).json() == [root + script, info]


def test_nobody_listens(tmp_path: Path, start: Callable[..., Server]) -> None:
    entry = {"route": "/", "address": [f"unix:{tmp_path}/a", f"unix:{tmp_path}/b"]}
    server = start(spec("conn", entry))
    for _ in range(3):
        got = fetch(server.address, "GET", "/")
        assert (got.status, got.get("retry-after")) == (503, "1")
    with Responder(tmp_path / "c", lambda call: call.send(answer(b""))) as responder:
        health = start(
            spec("conn", {"route": "/", "address": responder.address, "health": "/ok", "health_interval": 0.05})
        )
        assert fetch(health.address, "GET", "/").status == 200
    health.log.wait_for("an address is not well")
    assert fetch(health.address, "GET", "/").status == 503


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(binary()), *arguments], input=stdin, capture_output=True, timeout=30)


def test_check_without_an_application(tmp_path: Path) -> None:
    config = tmp_path / "pyspeed.toml"
    config.write_text('[[upstream]]\nroute = "/"\naddress = "127.0.0.1:9"\n')
    done = run("check", "-c", str(config))
    assert (done.returncode, done.stderr) == (0, b"")
    config.write_text('[[upstream]]\nroute = "/"\naddres = "127.0.0.1:9"\n')
    done = run("check", "-c", str(config))
    assert done.returncode == 1
    assert b"unknown key upstream.addres (" in done.stderr
    assert b"pyspeed.toml:3); did you mean upstream.address?" in done.stderr


def test_probe(tmp_path: Path) -> None:
    def handle(call: Call) -> None:
        body = call.body()
        if call.path == "/dies":
            call.keep = False  # probe asks to keep the connection, as gofast always does
            return
        long = b"X-Long: " + b"v" * 65536 + b"\r\n"
        call.send(record(STDERR, b"careful\n"))
        call.send(answer(call.params["QUERY_STRING"].encode() + b"|" + body + b"|" + call.params["APP"].encode(), long))

    with Responder(tmp_path / "s", handle) as responder:
        done = run("probe", responder.address, "/x?q", "--param", "APP=test", "--body", "-", stdin=b"from stdin")
        assert done.returncode == 0, done.stderr
        assert done.stdout == b"Status: 200\nX-Long: " + b"v" * 65536 + b"\n\nq|from stdin|test"
        assert b"stderr: careful\n" in done.stderr
        assert b"header lines over 1,024 bytes" in done.stderr
        assert b"END_REQUEST: REQUEST_COMPLETE, appStatus 0" in done.stderr
        done = run("probe", responder.address, "/dies")
        assert done.returncode == 1
        assert b"no answer: the connection ended before END_REQUEST" in done.stderr
    assert run("probe", responder.address, "/").returncode == 1
