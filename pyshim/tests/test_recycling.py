"""``pyspeed.recycle()``: who may ask for another process, and what the gateway hears of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway import Worker

import pyspeed

APP = """
import os, sys, threading, pyspeed

def post_worker_init():
    if os.environ.get("RECYCLE_AT_START"):
        pyspeed.recycle("at the start")

def app(environ, start_response):
    start_response("200 OK", [])
    way = environ["PATH_INFO"]
    if way == "/thread":
        threads = [threading.Thread(target=pyspeed.recycle, args=("from a thread",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    elif way == "/child":
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                pyspeed.recycle("from a child")
            except RuntimeError as error:
                os.write(writer, str(error).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        return [os.read(reader, 1000)]
    elif way != "/":
        return [repr(pyspeed.recycle(way[1:])).encode()]
    mine = sorted(name for name in sys.modules if name.startswith("pyspeed."))
    return [" ".join(mine).encode()]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    pyspeed.recycle("from a task")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asked"})
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


@pytest.mark.parametrize("shim", ["zip", None])
def test_asked_once_and_answered(shop: Path, shim: str) -> None:
    """The request that asks is answered, and others are: what follows is for the gateway to decide."""
    with Worker("shop:app", shop, **({"shim": shim} if shim else {})) as worker:
        before = set(worker.get("/").body.decode().split())
        assert worker.get("/caf\xe9\n").body == b"None"
        assert worker.event("recycle")["reason"] == "caf\xe9\n"
        assert worker.get("/again").body == b"None"
        after = set(worker.get("/thread").body.decode().split())
        assert after - before == {"pyspeed.recycling"}
        assert worker.ask("ping", "pong", n=1)["n"] == 1  # sent after whatever the threads had sent
        assert not [event for event in worker.events if event["event"] == "recycle"]
        assert worker.stop() == 0


def test_from_threads(shop: Path) -> None:
    with Worker("shop:app", shop) as worker:
        worker.get("/thread")
        assert worker.event("recycle")["reason"] == "from a thread"
        worker.ask("ping", "pong", n=1)
        assert not [event for event in worker.events if event["event"] == "recycle"]


def test_from_a_hook_and_a_task(shop: Path) -> None:
    with Worker("shop:app", shop, env={"RECYCLE_AT_START": "1"}) as worker:
        assert worker.event("recycle")["reason"] == "at the start"
    with Worker("shop:asgi", shop) as worker:
        request = worker.request({"type": "http", "path": "/", "method": "GET", "headers": []})
        assert worker.answer(request).body == b"asked"
        assert worker.event("recycle")["reason"] == "from a task"


def test_a_long_reason_is_cut(shop: Path) -> None:
    with Worker("shop:app", shop) as worker:
        worker.get("/" + 3000 * "x")
        assert worker.event("recycle")["reason"] == 500 * "x"


def test_a_child_is_no_worker(shop: Path) -> None:
    with Worker("shop:app", shop) as worker:
        assert b"cannot recycle: there is nobody to start another process" in worker.get("/child").body
        assert worker.get("/mine").body == b"None"
        assert worker.event("recycle")["reason"] == "mine"


def test_this_process_is_no_worker() -> None:
    with pytest.raises(RuntimeError, match="call it in a worker that pyspeed-gw has started"):
        pyspeed.recycle()
    with pytest.raises(TypeError, match="the reason is bytes, not str"):
        pyspeed.recycle(b"why")  # type: ignore[arg-type]
