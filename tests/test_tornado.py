"""Tornado behind the real gateway: what the shop and the shim's own tests do not show."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Shop
from harness import zoo
from harness.client import Connection, fetch, request
from harness.server import REPOSITORY, Server, Spec, binary
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed

CSS = REPOSITORY / "examples" / "tornado_shop" / "shop" / "static" / "shop.css"
UPGRADE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
]
# Starts a file watcher, as an application in its debug mode does.
WATCHED = """
from tornado.web import Application, RequestHandler

class Hello(RequestHandler):
    def get(self):
        self.write("{}")

app = Application([("/", Hello)], debug=True)
"""
STARTS = """
from tornado.ioloop import IOLoop
from tornado.web import Application

app = Application([])
IOLoop.current().start()
"""


def spec(folder: Path, edge: str) -> Spec:
    return Spec("tornado_app:app", zoo.DIRECTORY, "tornado", edge, 1, env={"ZOO_GATE": str(folder / "gate")})


@pytest.fixture(scope="module", params=["netpoll", "conn"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tornado")
    server = Server.start(spec(folder, request.param), folder)
    yield server
    server.stop()


@pytest.fixture
def tornado_shop(_shops: Callable[[str, str], Shop]) -> Shop:
    return _shops("tornado", "netpoll")


def test_static_files_arrive_as_tornado_serves_them(tornado_shop: Shop) -> None:
    content = CSS.read_bytes()
    with tornado_shop.connect() as connection:
        whole = connection.request("GET", "/static/shop.css")
        assert (whole.status, whole.body, whole.get("content-type")) == (200, content, "text/css")
        for name, field in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")):
            answer = connection.request("GET", "/static/shop.css", [(name, whole.get(field))])
            assert (answer.status, answer.body) == (304, b"")
        part = connection.request("GET", "/static/shop.css", [("Range", "bytes=3-9")])
        assert (part.status, part.body) == (206, content[3:10])
        assert part.get("content-range") == f"bytes 3-9/{len(content)}"
        connection.send(request("HEAD", "/static/shop.css"))
        head = connection.read_response("HEAD")
        assert (head.body, head.get("content-length")) == (b"", str(len(content)))


def test_upgrade_gets_a_clear_answer(server: Server) -> None:
    mark = server.log.mark()
    with Connection(server.address) as connection:
        answer = connection.request("GET", "/socket", UPGRADE)
        assert answer.status == 501
        assert b"WebSockets" in answer.body
        assert connection.request("GET", "/ok").body == b"ok"
    server.log.wait_for("WebSockets.*answered 501", since=mark)
    assert b"the socket is open" not in server.log.since(mark)


def test_client_that_leaves_is_noticed(server: Server) -> None:
    mark = server.log.mark()
    with Connection(server.address) as connection:
        connection.send(request("GET", "/leaves"))
        for event in connection.events():
            if b"here" in getattr(event, "data", b""):
                break
    server.log.wait_for("on_connection_close was called", since=mark)


def test_body_is_refused_while_it_arrives(server: Server) -> None:
    with Connection(server.address) as connection:
        connection.send(request("POST", "/refuses", [("Content-Length", "10000000")]) + b"x" * 1000)
        answer = connection.read_response()
        assert (answer.status, answer.body) == (403, b"no uploads here")
    assert fetch(server.address, "GET", "/ok").body == b"ok"


def test_handler_that_exits_ends_its_worker_as_in_tornado(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(spec(tmp_path, "netpoll"))
    assert fetch(server.address, "GET", "/exits").status == 502
    eventually(lambda: fetch(server.address, "GET", "/ok").status == 200, "a new worker answers")


def test_sigterm_finishes_what_runs(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(spec(tmp_path, "netpoll"))
    with Connection(server.address) as connection:
        connection.send(request("GET", "/gate"))
        server.log.wait_for("the gate is reached")
        server.process.terminate()
        server.log.wait_for("stopping")
        (tmp_path / "gate.gate").touch()
        assert connection.read_response().body == b"through"
    assert server.wait_exit() == 0


def test_autoreload_starts_a_new_worker(start: Callable[..., Server], tmp_path: Path) -> None:
    module = tmp_path / "watched.py"
    module.write_text(WATCHED.format("old"))
    server = start(Spec("watched:app", tmp_path, workers=1))
    assert fetch(server.address, "GET", "/").body == b"old"
    server.log.wait_for("worker ready")
    # Tornado notes a file's time when it first looks, half a second after the start.
    module.write_text(WATCHED.format("new"))

    def changed() -> bool:
        module.touch()
        return fetch(server.address, "GET", "/").body == b"new"

    eventually(changed, "the new text")
    server.log.wait_for("tornado.autoreload found a changed file")


def test_loop_that_is_run_by_the_import(start: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "starts.py").write_text(STARTS)
    settings = {"workers": {"startup_timeout": "4s"}}
    server = start(Spec("starts:app", tmp_path, workers=1, settings=settings), ready=False)
    assert server.wait_exit() == 3
    server.log.wait_for(r"runs an event loop while it is imported.*__main__")


def test_check_names_the_kind() -> None:
    command = [str(binary()), "check", "tornado_app:app", "--chdir", str(zoo.DIRECTORY), "--python", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "tornado_app:app is a Tornado application" in done.stdout
