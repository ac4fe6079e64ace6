"""``serving`` and the pytest plugin: applications served from the test's own process."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import processes
from harness.client import Address, fetch
from harness.program import environment
from harness.server import REPOSITORY, binary
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed

sys.path.insert(0, str(REPOSITORY / "pyshim"))
import pyspeed  # noqa: E402 - the package of this checkout


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """libuv makes a pipe once per process."""
    import uvloop

    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def open_descriptors() -> int:
    gc.collect()
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    # What multiprocessing once made, for werkzeug's debugger, stays.
    return len([link for link in links if os.path.islink(link) and "/pym-" not in os.readlink(link)])


@pytest.fixture(autouse=True)
def own_binary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The binary under test; and nothing is left when the test is over: no thread, process or descriptor."""
    monkeypatch.setenv("PYSPEED_GW", str(binary()))
    for name in ("PORT", "WEB_CONCURRENCY", "PYSPEED_SERVER_BIND"):
        monkeypatch.delenv(name, raising=False)
    threads = set(threading.enumerate())
    descriptors = open_descriptors()
    children = processes.children(os.getpid())
    yield
    assert set(threading.enumerate()) <= threads
    assert processes.children(os.getpid()) == children
    assert open_descriptors() <= descriptors


def get(server: Any, target: str = "/") -> Any:
    return fetch(Address.parse(server.addresses[0]), "GET", target)


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.mark.parametrize("app", [wsgi, asgi])
def test_ready_on_entry_and_gone_on_exit(app: Any) -> None:
    with pyspeed.serving(app) as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.url)
        assert server.address == (server.host, server.port) == ("127.0.0.1", int(server.url.rpartition(":")[2]))
        assert get(server, "/here").body == b"/here"
    with pytest.raises(ConnectionRefusedError):
        Address(server.host, server.port).connect()


def test_several_at_once() -> None:
    def other(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"other"]

    with pyspeed.serving(wsgi) as one, pyspeed.serving(other) as two, pyspeed.serving(asgi) as three:
        assert len({one.url, two.url, three.url}) == 3
        assert [get(server, "/x").body for server in (one, two, three)] == [b"/x", b"other", b"/x"]


def test_frameworks() -> None:
    import fastapi
    import flask
    import tornado.web

    flask_app = flask.Flask(__name__)
    fast = fastapi.FastAPI()

    @flask_app.get("/")
    def from_flask() -> str:
        return "flask"

    @fast.get("/")
    async def from_fastapi() -> str:
        return "fastapi"

    class Handler(tornado.web.RequestHandler):
        def get(self) -> None:
            self.write("tornado")

    for app, body in (
        (flask_app, b"flask"),
        (fast, b'"fastapi"'),
        (tornado.web.Application([("/", Handler)]), b"tornado"),
    ):
        with pyspeed.serving(app) as server:
            assert get(server).body == body


def test_lifespan_runs_around_the_block() -> None:
    said: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for _ in range(2):
            said.append((await receive())["type"])
            await send({"type": said[-1] + ".complete"})

    with pyspeed.serving(app):
        assert said == ["lifespan.startup"]
    assert said == ["lifespan.startup", "lifespan.shutdown"]


def test_lifespan_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database here"})

    with pytest.raises(pyspeed.StartFailed, match="application startup failed"):
        pyspeed.serving(app).start()
    assert "no database here" in capsys.readouterr().err


def test_exceptions_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """On whatever sys.stderr is by then: a test's, or a notebook's cell's."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise LookupError("nobody expects this")

    with pyspeed.serving(app) as server:
        written = io.StringIO()
        monkeypatch.setattr(sys, "stderr", written)
        assert get(server).status == 500
        eventually(lambda: "LookupError: nobody expects this" in written.getvalue(), "said so")


def test_a_request_that_runs_is_finished() -> None:
    begun, go = threading.Event(), threading.Event()
    answers = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begun.set()
        go.wait(30)
        start_response("200 OK", [])
        return [b"finished"]

    server = pyspeed.serving(app)
    server.start()
    request = threading.Thread(target=lambda: answers.append(get(server).body))
    request.start()
    assert begun.wait(30)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    address = Address(server.host, server.port)
    eventually(lambda: refused(address), "accepts no more")
    go.set()
    stopping.join(30)
    request.join(30)
    assert answers == [b"finished"]


def refused(address: Address) -> bool:
    try:
        address.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_threads_run_side_by_side_and_are_joined() -> None:
    together = threading.Barrier(4)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        together.wait(30)
        start_response("200 OK", [])
        return [threading.current_thread().name.encode()]

    names: list[bytes] = []
    with pyspeed.serving(app, threads=4) as server:
        clients = [threading.Thread(target=lambda: names.append(get(server).body)) for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(30)
    assert len(names) == 4
    assert names.count(b"pyspeed-serving") <= 1


def test_keywords_and_options() -> None:
    with pyspeed.serving(wsgi, options={"server.limits.body": 10}, root_path="/shop") as server:
        assert get(server, "/shop/x").body == b"/x"
        assert fetch(Address.parse(server.url), "POST", "/shop/", body=b"eleven byte").status == 413


def test_config_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(f'[app]\nroot_path = "/mounted"\n[server]\nbind = ["unix:{tmp_path}/s"]\n')
    with pyspeed.serving(wsgi, config=tmp_path / "own.toml", uds=tmp_path / "t") as server:
        assert server.address == str(tmp_path / "t")
        assert (server.host, server.port, server.url) == ("", 0, f"unix:{tmp_path}/t")
        assert get(server, "/mounted/y").body == b"/y"


def test_files_that_lie_around_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyspeed.toml").write_text('[app]\ntarget = "nothing:here"\nfactory = true\n')
    monkeypatch.chdir(tmp_path)
    with pyspeed.serving(wsgi) as server:
        assert get(server, "/z").body == b"/z"


def test_factory() -> None:
    with pyspeed.serving(lambda: wsgi, factory=True) as server:
        assert get(server, "/made").body == b"/made"


def test_target_with_spawned_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pyspeed.serving("plain:wsgi", app_dir=REPOSITORY / "tests" / "zoo", workers=2) as server:
        assert get(server, "/ok").status == 200
        assert int(get(server, "/pid").body) != os.getpid()


def test_debug_and_debugger() -> None:
    import flask

    app = flask.Flask(__name__)

    @app.get("/")
    def broken() -> str:
        raise ValueError("look at me")

    with pyspeed.serving(app, debug=True, use_debugger=True, log_level="error") as server:
        answer = get(server)
    assert app.debug
    assert answer.status == 500
    assert b"look at me" in answer.body
    assert b"Werkzeug Debugger" in answer.body


def test_neither_wsgi_nor_asgi() -> None:
    with pytest.raises(pyspeed.StartFailed, match="takes one argument"):
        pyspeed.serving(lambda environ: []).start()


def test_port_in_use() -> None:
    with (
        pyspeed.serving(wsgi) as first,
        pytest.raises(pyspeed.GatewayError, match="address already in use") as caught,
    ):
        pyspeed.serving(wsgi, port=first.port).start()
    assert caught.value.exit_code == 1


def test_the_gateway_dies_meanwhile() -> None:
    with pytest.raises(pyspeed.GatewayError, match="killed by signal 9"), pyspeed.serving(wsgi) as server:
        os.kill(gateway_of(server), 9)
        address = Address(server.host, server.port)
        eventually(lambda: refused(address), "is gone")


def gateway_of(server: Any) -> int:
    return int(server._gateway.pid)


def test_what_the_block_raises_is_what_counts() -> None:
    with pytest.raises(LookupError, match="mine"), pyspeed.serving(wsgi) as server:
        os.kill(gateway_of(server), 9)
        raise LookupError("mine")


def test_a_forked_child_has_no_part_in_it() -> None:
    """A child that outlives the block has none of its sockets: it could answer, or hide the end of either side."""
    release, hold = os.pipe()
    reader, writer = os.pipe()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        child = os.fork()
        if child == 0:
            os.close(hold)
            os.write(writer, json.dumps(inodes(range(256))).encode())
            os.read(release, 1)
            os._exit(0)
        start_response("200 OK", [])
        return [str(child).encode()]

    # Python 3.12 and later warn of forks while there are threads.
    with warnings.catch_warnings(), pyspeed.serving(app) as server:
        warnings.simplefilter("ignore", DeprecationWarning)
        child = int(get(server).body)
        gateway: Any = server._gateway
        ours = inodes([gateway.ends.data.fileno(), gateway.ends.control.fileno(), gateway._tether.fileno()])
    assert not processes.alive(gateway.pid)
    assert processes.alive(child)
    assert len(ours) == 3
    assert not set(ours) & set(json.loads(os.read(reader, 65536)))
    for fd in (hold, release, reader, writer):
        os.close(fd)
    os.waitpid(child, 0)


def inodes(descriptors: Iterable[int]) -> list[str]:
    links = [f"/proc/self/fd/{fd}" for fd in descriptors]
    return [os.readlink(link) for link in links if os.path.islink(link)]


def test_default_timeout_of_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's own sockets have one; ours wait as long as it takes."""
    monkeypatch.setattr("pyspeed.launch._JOIN", 0.0)  # a gateway that was thought to be gone would be killed at once
    ended = threading.Event()
    socket.setdefaulttimeout(0.001)
    try:
        with pyspeed.serving(wsgi) as server, pyspeed.serving(asgi) as other:
            ended.wait(0.1)  # many times the timeout; passes in any case if nothing has one
            assert [get(s, "/t").body for s in (server, other)] == [b"/t", b"/t"]
            assert processes.alive(gateway_of(server))
    finally:
        socket.setdefaulttimeout(None)


def test_gateway_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("no program")
    (tmp_path / "broken").chmod(0o755)
    monkeypatch.setenv("PYSPEED_GW", str(tmp_path / "broken"))
    with pytest.raises(pyspeed.GatewayError, match=r"cannot start the gateway: .*broken: Exec format error"):
        pyspeed.serving(wsgi).start()


def test_async_with() -> None:
    async def main() -> int:
        async with pyspeed.serving(asgi) as server:
            return (await asyncio.get_running_loop().run_in_executor(None, get, server)).status

    assert asyncio.run(main()) == 200


def test_one_object_serves_once() -> None:
    server = pyspeed.serving(wsgi)
    with pytest.raises(RuntimeError, match="does not serve"):
        print(server.url)
    with server, pytest.raises(RuntimeError, match="make another object"):
        server.start()


PLUGIN_TEST = """
import urllib.request

def app(environ, start_response):
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]

urls = []

def test_two(pyspeed_serve):
    for server in (pyspeed_serve(app), pyspeed_serve(app, root_path="/r")):
        urls.append(server.url)
        with urllib.request.urlopen(server.url + "/r/x") as answer:
            assert answer.read() == (b"/r/x" if len(urls) == 1 else b"/x")

def test_they_are_gone(pyspeed_serve):
    import pytest, urllib.error
    for url in urls:
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(url)
"""


def test_pytest_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_plugin.py").write_text(PLUGIN_TEST)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "pyspeed.pytest_plugin", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


def test_entry_point_of_the_plugin() -> None:
    text = (REPOSITORY / "pyshim" / "pyproject.toml").read_text()
    assert re.search(r'\[project\.entry-points\.pytest11\]\npyspeed = "pyspeed\.pytest_plugin"\n', text)
