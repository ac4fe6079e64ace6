"""The model gevent: one greenlet per request, on the real gateway."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import processes
from harness.client import Connection, Response, fetch, request
from harness.server import Server, Spec
from harness.waiting import eventually
from harness.wire import Data, Head

APPS = Path(__file__).resolve().parent / "apps"

Start = Callable[..., Server]


def spec(target: str = "on_gevent:application", model: str = "gevent", folder: Path = APPS, **workers: object) -> Spec:
    return Spec(
        target=target,
        directory=APPS,
        workers=1,
        settings={"workers": {"model": model, **workers}},
        env={"HOGS": str(folder / "hogs")},
    )


BOTH = ["on_gevent:application", "patches_itself:application"]


def both(target: str) -> Spec:
    """With the model set, and with an application that has patched by itself."""
    return spec(target, "threads" if target.startswith("patches") else "gevent")


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server.start(both(request.param), tmp_path_factory.mktemp("gevent"))
    yield server
    server.stop()


@pytest.fixture
def server(request: pytest.FixtureRequest, shared: Server) -> Server:
    """A server of each, which tests share: they leave it as it was."""
    request.node.servers = [shared]
    return shared


@pytest.fixture(params=BOTH)
def own(request: pytest.FixtureRequest, start: Start) -> Server:
    """One of the test's own, of each."""
    return start(both(request.param))


def get(server: Server, target: str) -> Response:
    answer = fetch(server.address, "GET", target)
    assert answer.status == 200, answer
    return answer


def text(server: Server, target: str) -> str:
    return get(server, target).body.decode()


class Side:
    """A request that is answered later, on a connection of its own."""

    def __init__(self, server: Server, target: str) -> None:
        self._connection = Connection(server.address)
        self._connection.send(request("GET", target))

    def answer(self) -> Response:
        with self._connection:
            return self._connection.read_response()

    def vanish(self) -> None:
        self._connection.vanish()


def holds(server: Server, count: int) -> None:
    eventually(lambda: text(server, "/holding") == str(count + 1), f"{count} requests in the application")


def test_hello_and_what_the_environ_says(server: Server) -> None:
    about = get(server, "/about").json()
    assert text(server, "/hello") == "hello"
    assert about["patched_before"].startswith("gevent")
    assert about["main"] is False  # threading.current_thread() is the greenlet's
    assert about["multithread"] is True


def test_200_requests_wait_at_once_and_keep_to_themselves(server: Server) -> None:
    """More than there could be threads; each has its own locals and contextvars."""
    waiting = [Side(server, f"/waits?gate=all&n={n}") for n in range(200)]
    holds(server, 200)
    assert text(server, "/fresh") == "['', '']"
    text(server, "/opens?gate=all")
    for n, one in enumerate(waiting):
        assert one.answer().body.decode() == f"{n} {n}"
    assert get(server, "/about").json()["most"] >= 200
    assert text(server, "/fresh") == "['', '']"


def test_sockets_are_cooperative(server: Server) -> None:
    """The only worker calls itself, through urllib and requests."""
    assert text(server, "/calls") == "hellohello"


def test_answers_are_streamed(server: Server) -> None:
    with Connection(server.address) as connection:
        connection.send(request("GET", "/streams?gate=s"))
        events = connection.events()
        assert isinstance(next(events), Head)
        first = next(events)
        assert isinstance(first, Data)
        assert first.data == b"first\n"
        text(server, "/opens?gate=s")
        assert b"".join(event.data for event in events if isinstance(event, Data)) == b"second\n"


def test_a_streamed_body_is_read_as_it_comes(start: Start) -> None:
    """Bodies over server.buffer_body; others are served while the greenlet waits for more."""
    one = spec()
    one.settings = {**one.settings, "server": {"buffer_body": 1000}}
    server = start(one)
    piece = b"p" * 300_000
    with Connection(server.address) as connection:
        connection.send(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (3 * len(piece)) + piece)
        holds(server, 1)
        assert text(server, "/hello") == "hello"
        connection.send(piece * 2)
        assert connection.read_response().body == b"900000"


def test_a_client_that_leaves(server: Server) -> None:
    """Its answer ends at the next chunk, and close() runs."""
    connection = Connection(server.address)
    connection.send(request("GET", "/floods"))
    assert isinstance(next(connection.events()), Head)
    assert text(server, "/hello") == "hello"  # though the flood waits for credit
    connection.vanish()
    eventually(lambda: get(server, "/about").json()["left"] == ["floods"], "the flood ends")


def test_failures_are_500_and_logged(server: Server) -> None:
    assert fetch(server.address, "GET", "/fails").status == 500
    server.log.wait_for("LookupError: on purpose")
    assert fetch(server.address, "GET", "/times-out").status == 500
    server.log.wait_for("gevent.timeout.Timeout: 0.01")
    assert text(server, "/hello") == "hello"


def test_a_limit(start: Start) -> None:
    """workers.threads is how many run at once; the rest waits its turn."""
    server = start(spec(threads=3))
    waiting = [Side(server, f"/waits?gate=limit&n={n}") for n in range(2)]
    holds(server, 2)
    streams = [Side(server, "/hello") for _ in range(30)]
    for one in streams:
        assert one.answer().body == b"hello"
    text(server, "/opens?gate=limit")
    for n, one in enumerate(waiting):
        assert one.answer().body.decode() == f"{n} {n}"
    assert get(server, "/about").json()["most"] == 3


def test_a_graceful_stop_finishes_what_runs(own: Server) -> None:
    waiting = [Side(own, f"/waits?gate=stop&n={n}") for n in range(3)]
    opener = Connection(own.address)
    holds(own, 3)
    # Sent before the stop, answered after it: what opens the gate is a request of its own.
    opener.send(request("GET", "/opens?gate=stop"))
    own.process.terminate()
    for n, one in enumerate(waiting):
        assert one.answer().body.decode() == f"{n} {n}"
    assert opener.read_response().status == 200
    opener.close()
    assert own.wait_exit() == 0


def test_sigterm_to_the_worker_finishes_what_runs(own: Server) -> None:
    waiting = Side(own, "/waits?gate=t&n=1")
    holds(own, 1)
    [worker] = own.workers()
    os.kill(worker, signal.SIGTERM)
    text(own, "/opens?gate=t")
    assert waiting.answer().body == b"1 1"
    eventually(lambda: own.workers() and own.workers() != [worker], "a new worker")
    assert text(own, "/hello") == "hello"


def test_a_greenlet_that_hogs_the_thread(start: Start, tmp_path: Path) -> None:
    """What has not begun is given to another worker at once; the hog is let go, its stack logged, when it ends."""
    one = spec(folder=tmp_path, timeout="2s")
    one.workers = 2
    server = start(one)
    hog = Side(server, "/hogs")
    eventually((tmp_path / "hogs").exists, "the hog")
    behind = [Side(server, "/hello") for _ in range(20)]
    for other in behind:
        assert other.answer().body == b"hello"
    assert hog.answer().status == 504
    server.log.wait_for("on_gevent.py.*in hogs")
    assert text(server, "/hello") == "hello"


def test_finished_answers_do_not_wait_for_a_hog(start: Start, tmp_path: Path) -> None:
    """One worker and one batch: the answer before the hog goes out while that goes on."""
    server = start(spec(folder=tmp_path))
    waiting = [Side(server, "/hello"), Side(server, "/hogs"), Side(server, "/hello")]
    eventually((tmp_path / "hogs").exists, "the hog")
    assert waiting[0].answer().body == b"hello"
    (tmp_path / "hogs.gate").touch()
    assert waiting[1].answer().body == b"hogged"
    assert waiting[2].answer().body == b"hello"


def failed_start(start: Start, one: Spec) -> tuple[int, str]:
    server = start(one, ready=False)
    code = server.wait_exit()
    return code, str(server.log)


def test_without_gevent(start: Start, tmp_path: Path) -> None:
    """A module that hides gevent stands for a Python without it."""
    (tmp_path / "gevent.py").write_text("raise ImportError('not installed')\n")
    (tmp_path / "app.py").write_text("def application(environ, start_response): ...\n")
    one = spec("app:application")
    one.directory = tmp_path
    code, log = failed_start(start, one)
    assert code == 3
    assert 'cannot use the model \\"gevent\\"' in log or 'cannot use the model "gevent"' in log
    assert "pip install gevent" in log


@pytest.mark.parametrize("interface", ["asgi", "auto"])
def test_asgi_is_refused(start: Start, interface: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("async def application(scope, receive, send): ...\n")
    one = spec("app:application")
    one.directory = tmp_path
    one.interface = interface
    code, log = failed_start(start, one)
    assert code == 3
    assert "gevent" in log
    assert "workers.model = " in log


def test_asgi_that_patched_itself_is_refused(start: Start) -> None:
    code, log = failed_start(start, spec("patches_but_asgi:application", "threads"))
    assert code == 3
    assert "leave gevent.monkey.patch_all() out" in log


def test_an_application_that_patched_itself_is_told_of_the_option(start: Start) -> None:
    server = start(spec("patches_itself:application", "threads"))
    server.log.wait_for("so its requests run on greenlets; set workers.model")
    assert text(server, "/hello") == "hello"


def test_patched_before_anything_else(start: Start, tmp_path: Path) -> None:
    """By a sitecustomize: even the worker's own modules see patched ones."""
    (tmp_path / "sitecustomize.py").write_text("import gevent.monkey\ngevent.monkey.patch_all()\n")
    one = spec("on_gevent:application", "threads", timeout="2s", folder=tmp_path)
    one.env = {**one.env, "PYTHONPATH": str(tmp_path)}
    server = start(one)
    waiting = [Side(server, f"/waits?gate=all&n={n}") for n in range(100)]
    holds(server, 100)
    text(server, "/opens?gate=all")
    assert [int(one.answer().body.split()[0]) for one in waiting] == list(range(100))
    hog = Side(server, "/hogs")
    assert hog.answer().status == 504  # the control thread answers though nothing else runs
    eventually(lambda: text(server, "/hello") == "hello", "a new worker")


def test_eventlet_is_refused(start: Start, tmp_path: Path) -> None:
    """Eventlet is not needed to see what its patches look like."""
    folder = tmp_path / "eventlet"
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import patcher\n")
    (folder / "patcher.py").write_text("def is_monkey_patched(module):\n    return module == 'thread'\n")
    (tmp_path / "app.py").write_text("import eventlet\ndef application(environ, start_response): ...\n")
    one = spec("app:application", "threads")
    one.directory = tmp_path
    code, log = failed_start(start, one)
    assert code == 3
    assert "eventlet" in log
    assert "workers.model = " in log


def test_lifecycle(start: Start) -> None:
    """Many short requests of one connection each, then an orderly end; nothing on standard error."""
    server = start(spec())
    for _ in range(50):
        assert text(server, "/hello") == "hello"
    assert server.terminate() == 0
    assert "Traceback" not in str(server.log)


@pytest.mark.parametrize("target", [*BOTH, "gevent_at_import:application"])
def test_preloaded(start: Start, target: str) -> None:
    """Forked after gevent has patched the process, and, in the last, has used its hub."""
    one = both(target)
    one.workers = 2
    one.settings = {"workers": {**one.settings["workers"], "preload": True}}
    server = start(one)
    for _ in range(2):
        waiting = [Side(server, "/waits?gate=held&n=1") for _ in range(20)]
        pids = {get(server, "/about").json()["pid"] for _ in range(20)}
        assert text(server, "/calls") == "hellohello"
        for pid in processes.children(server.pid):
            os.kill(pid, signal.SIGKILL)  # the zygote too
        for side in waiting:
            assert side.answer().status == 502
        eventually(lambda pids=pids: not pids & set(server.workers()) and text(server, "/hello"), "forked anew")  # type: ignore[misc]
    assert server.terminate() == 0
    assert b"Traceback" not in server.log.since()
