"""`workers.preload`: one process imports the application and forks the workers."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Shop
from harness import processes
from harness.client import fetch
from harness.crowd import assert_none_ran_twice, crowd
from harness.load import Load
from harness.server import Server, Spec
from harness.waiting import eventually

pytestmark = [
    pytest.mark.pyspeed,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has subreapers"),
]

Start = Callable[..., Server]
StartShop = Callable[..., Shop]


def preloaded(count: int = 2, **more: object) -> dict[str, object]:
    return {"workers": count, "settings": {"workers": {"preload": True, **more}}}


def zygote(server: Server, count: int = 1) -> int:
    """The process that the workers are forked from; the last of count."""
    return int(server.log.wait_for(r"application imported worker=zygote pid=(\d+)", count=count)[-1][1])


def workers(server: Server) -> set[int]:
    """The workers that are ready, by what the log says."""
    pids = {
        int(match[1]) for line in server.log.lines if (match := re.search(rb"worker ready worker=\S+ pid=(\d+)", line))
    }
    return {pid for pid in pids if processes.alive(pid)}


@pytest.mark.parametrize("name", ["flask", "fastapi", "django-wsgi", "django-asgi", "tornado"])
def test_shops_are_served_by_forked_workers(start_shop: StartShop, name: str, nonce: str) -> None:
    shop = start_shop(name, "netpoll", **preloaded(3))
    server = shop.server
    assert len(workers(server)) == 3
    assert set(server.workers()) == workers(server)
    assert set(processes.children(server.pid)) == workers(server) | {zygote(server)}
    outcomes = crowd(shop.address, nonce, 30, 10)
    assert [outcome for outcome in outcomes if outcome.status != 200] == []
    assert_none_ran_twice(outcomes, shop.runs(nonce))
    server.stop()
    assert not processes.alive(zygote(server))
    assert b"ERROR" not in server.log.since()


APPLICATION = """
import os, sys, threading
IMPORTED = os.getpid()
print("imported in", IMPORTED)

def answer():
    return "imported in %d, served by %d, slot %s" % (IMPORTED, os.getpid(), os.environ["PYSPEED_WORKER_ID"])

def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/die":
        os._exit(7)
    start_response("200 OK", [])
    return [answer().encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            what = (await receive())["type"]
            print(what, "in", os.getpid())
            await send({"type": what + ".complete"})
            if what == "lifespan.shutdown":
                return
    if scope["path"] == "/die":
        os._exit(7)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer().encode()})

def post_fork(server, worker):
    print("post_fork of", worker.id, "in", os.getpid())

def post_worker_init(worker):
    print("post_worker_init of", worker.id, "in", os.getpid())

def worker_exit(server, worker):
    print("worker_exit of", worker.id, "in", os.getpid())
"""


def spec(folder: Path, interface: str = "wsgi", source: str = APPLICATION, **more: object) -> Spec:
    (folder / "shop.py").write_text(source)
    return Spec(target=f"shop:{interface}", directory=folder, **preloaded(**more))  # type: ignore[arg-type]


def test_hooks_and_lifespan_run_in_each_worker(start: Start, tmp_path: Path, interface: str) -> None:
    server = start(spec(tmp_path, interface))
    parent = zygote(server)
    ids = {pid: slot for slot, pid in re.findall(r"worker ready worker=(\S+) pid=(\d+)", str(server.log))}
    server.stop()
    log = str(server.log)
    assert re.findall(r"imported in (\d+) worker=(\S+)", log) == [(str(parent), "zygote")]
    assert sorted(ids.values()) == ["1", "2"]
    for pid, slot in ids.items():
        said = re.findall(rf"(\S+)(?: of {slot})? in {pid} worker={slot} stream=stdout", log)
        lifespan = ["lifespan.startup"] * (interface == "asgi")
        ended = ["lifespan.shutdown"] * (interface == "asgi")
        assert said == ["post_fork", "post_worker_init", *lifespan, *ended, "worker_exit"]


def test_a_worker_that_dies_is_forked_anew(start: Start, tmp_path: Path, interface: str) -> None:
    server = start(spec(tmp_path, interface, count=1))
    before = workers(server)
    assert fetch(server.address, "GET", "/die").status == 502
    server.log.wait_for("exited with status 7")
    (successor,) = eventually(lambda: workers(server) - before, "another worker")
    answer = fetch(server.address, "GET", "/").body.decode()
    assert answer == f"imported in {zygote(server)}, served by {successor}, slot 1"
    assert str(server.log).count("imported in") == 1


@pytest.mark.limit(120)
def test_recycled_workers_are_forked_anew(start_shop: StartShop, nonce: str) -> None:
    shop = start_shop("flask", "netpoll", **preloaded(max_requests=100))
    with Load(shop.address, nonce) as load:
        shop.server.log.wait_for("replacing a worker", count=6)
        shop.server.log.wait_for("worker ready", count=8)
    assert load.failed() == []
    assert_none_ran_twice(load.outcomes, shop.runs(nonce))
    assert str(shop.server.log).count("application imported") == 1


@pytest.mark.limit(120)
@pytest.mark.parametrize("name", ["flask", "fastapi"])
def test_the_zygotes_death_is_nobodys_loss(start_shop: StartShop, name: str, nonce: str) -> None:
    shop = start_shop(name, "netpoll", **preloaded())
    server = shop.server
    before = workers(server)
    with Load(shop.address, nonce) as load:
        for count in range(1, 3):
            seen = load.done
            eventually(lambda seen=seen: load.done > seen + 50, "requests are answered")  # type: ignore[misc]
            os.kill(zygote(server, count), signal.SIGKILL)
            zygote(server, count + 1)
        seen = load.done
        eventually(lambda: load.done > seen + 50, "requests are answered")
    assert load.failed() == []
    assert_none_ran_twice(load.outcomes, shop.runs(nonce))
    assert workers(server) == before
    server.log.wait_for(r"the zygote \(pid \d+\) was killed by SIGKILL.*; its workers go on", count=2)
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(workers(server)) == 2 and workers(server) != before, "a worker from the last zygote")


def test_no_process_outlives_a_gateway_that_was_killed(start: Start, tmp_path: Path, interface: str) -> None:
    server = start(spec(tmp_path, interface))
    family = processes.children(server.pid)
    assert len(family) == 3
    server.kill()
    eventually(lambda: not any(processes.alive(pid) for pid in family), "all are gone")


def test_no_process_outlives_a_gateway_while_c_code_holds_the_interpreter(start: Start, tmp_path: Path) -> None:
    # The worker's Python cannot act on anything: PDEATHSIG alone ends it.
    source = APPLICATION + (
        "import ctypes\n"
        "def held(environ, start_response):\n"
        "    open('held', 'w').close()\n"
        "    ctypes.PyDLL(None).pause()\n"
    )
    (tmp_path / "shop.py").write_text(source)
    server = start(Spec(target="shop:held", directory=tmp_path, **preloaded(timeout="60s")))  # type: ignore[arg-type]
    family = processes.children(server.pid)
    with server.address.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        eventually(lambda: (tmp_path / "held").exists(), "the application holds the interpreter")
        server.kill()
    eventually(lambda: not any(processes.alive(pid) for pid in family), "all are gone")


def test_threads_of_the_import_are_refused(start: Start, tmp_path: Path) -> None:
    source = APPLICATION + "threading.Thread(target=threading.Event().wait, name='price-poller', daemon=True).start()\n"
    server = start(spec(tmp_path, source=source), ready=False)
    assert server.wait_exit() == 3
    server.log.wait_for("cannot preload the application: its import has left threads running.*price-poller")
    server.log.wait_for("start them in post_fork or post_worker_init, or set workers.preload to false")


def test_an_import_that_fails_is_told_as_without_preloading(start: Start, tmp_path: Path) -> None:
    server = start(spec(tmp_path, source="import json\n1 / 0\n"), ready=False)
    assert server.wait_exit() == 4
    server.log.wait_for("cannot import the application: ZeroDivisionError: division by zero")
    server.log.wait_for(r'shop.py", line 2, in <module>')


def test_connections_that_workers_would_share_are_named(start: Start, tmp_path: Path) -> None:
    source = APPLICATION + (
        "import socket\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "database = socket.create_connection(listener.getsockname())\n"
    )
    server = start(spec(tmp_path, source=source))
    server.log.wait_for(r"WARN.*importing the application has opened connections.*127\.0\.0\.1:\d+.*worker=zygote")


def test_a_reload_imports_anew_and_one_that_fails_leaves_all_as_it_is(start: Start, tmp_path: Path) -> None:
    server = start(spec(tmp_path))
    first = zygote(server)
    before = workers(server)
    (tmp_path / "shop.py").write_text("1 / 0\n")
    server.process.send_signal(signal.SIGHUP)
    server.log.wait_for("ZeroDivisionError: division by zero")
    assert fetch(server.address, "GET", "/").body.startswith(b"imported in %d," % first)
    assert workers(server) == before
    assert processes.alive(first)
    (tmp_path / "shop.py").write_text(APPLICATION + "# another size\n")
    server.process.send_signal(signal.SIGHUP)
    second = zygote(server, 2)
    eventually(lambda: set(server.workers()) == workers(server) and not before & workers(server), "new workers alone")
    assert fetch(server.address, "GET", "/").body.startswith(b"imported in %d," % second)
    eventually(lambda: not processes.alive(first), "the first zygote has ended")
