"""The zygote: imports once, forks workers that serve as spawned ones do, refuses what a fork would break."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict

import pytest
from gateway import Worker, environ
from zygote_gateway import Zygote, children, zygote_failure

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has subreapers")

HERE = Path(__file__).resolve().parent

STATE = """
import os, sys, random, threading, signal
IMPORTED_BY = os.getpid()
IMPORTED_AS = os.environ.get("PYSPEED_WORKER_ID")
log = []
def app(environ, start_response):
    start_response("200 OK", [])
    return [repr(state()).encode()]
def open_(fd):
    try:
        return bool(os.fstat(int(fd)))
    except OSError:
        return False
def state():
    return {
        "pid": os.getpid(), "imported_by": IMPORTED_BY, "imported_as": IMPORTED_AS, "parent": os.getppid(),
        "group": os.getpgrp(), "slot": os.environ["PYSPEED_WORKER_ID"], "argv": sys.argv, "random": random.random(),
        "main": threading.current_thread() is threading.main_thread(), "log": log, "stdin": sys.stdin.read(),
        "descriptors": {int(fd): os.readlink("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd") if open_(fd)},
    }
"""


def start(tmp_path: Path, source: str, target: str = "shop:app", **settings: Any) -> Zygote:
    (tmp_path / "shop.py").write_text(source)
    return Zygote(target, tmp_path, **settings)


def test_workers_are_forked_with_the_application_and_are_the_gateways_children(tmp_path: Path) -> None:
    with start(tmp_path, STATE, threads=1) as zygote:
        assert zygote.ready["interface"] == "wsgi"
        with zygote.fork("1") as one, zygote.fork("2", worker_id="2.3") as two:
            first, second = (eval(worker.get("/").body) for worker in (one, two))
            for worker, state, slot in ((one, first, "1"), (two, second, "2")):
                assert state["pid"] == worker.pid == state["group"]
                assert state["parent"] == os.getpid()
                assert state["imported_by"] == zygote.pid
                assert state["imported_as"] == ""
                assert state["slot"] == slot
                assert state["argv"] == ["shop:app"]
                assert state["main"]
                assert state["stdin"] == ""
            assert first["random"] != second["random"]
            assert one.stop() == 0
            assert two.get("/").status == "200 OK"
            assert Path("/proc/%d/cmdline" % zygote.pid).read_bytes().endswith(b"\0zygote\0")
            assert Path("/proc/%d/cmdline" % two.pid).read_bytes().endswith(b"\0worker\0")
            assert two.stop() == 0
        assert not children(zygote.pid)
        assert zygote.log() == ""
        assert zygote.stop() == 0


def test_descriptors_are_those_of_a_spawned_worker(tmp_path: Path) -> None:
    with start(tmp_path, STATE, threads=1) as zygote, zygote.fork("1") as one, zygote.fork("2") as two:
        with Worker("shop:app", tmp_path, threads=1) as spawned:
            wanted = kinds_of_descriptors(spawned)
        before = os.listdir("/proc/%d/fd" % zygote.pid)
        with zygote.fork("3") as three:
            for worker in (one, two, three):
                assert kinds_of_descriptors(worker) == wanted
        assert sorted(os.listdir("/proc/%d/fd" % zygote.pid)) == sorted(before)


def kinds_of_descriptors(worker: Worker) -> Dict[int, str]:
    links = eval(worker.get("/").body)["descriptors"]
    return {fd: re.sub("[0-9]+", "#", link) for fd, link in links.items()}


def test_stdout_and_stderr_are_the_workers_own(tmp_path: Path) -> None:
    source = """
import sys
print("half a line", end="")
def app(environ, start_response):
    print("said", environ["QUERY_STRING"])
    start_response("200 OK", [])
    return [b""]
"""
    with start(tmp_path, source) as zygote, zygote.fork("1") as one, zygote.fork("2") as two:
        one.get("/", QUERY_STRING="one")
        two.get("/", QUERY_STRING="two")
        assert one.log() == "said one\n"
        assert two.log() == "said two\n"
        assert zygote.log() == "half a line"


HOOKS = """
import os
log = []
def note(what):
    log.append((what, os.getpid()))
os.register_at_fork(
    before=lambda: note("before"), after_in_parent=lambda: note("in parent"), after_in_child=lambda: note("in child")
)
note("import")
def make():
    note("factory")
    def app(environ, start_response):
        start_response("200 OK", [])
        return [repr(log).encode()]
    return app
def post_fork(worker):
    note("post_fork %s" % worker.id)
def post_worker_init(worker):
    note("post_worker_init %s" % worker.pid)
def worker_exit():
    print("worker_exit", os.getpid())
"""


def test_hooks_run_in_the_worker_and_what_runs_at_a_fork_does_so_once(tmp_path: Path) -> None:
    with start(tmp_path, HOOKS, "shop:make()", threads=1) as zygote:
        for number in ("1", "1.2"):
            with zygote.fork("1", worker_id=number) as worker:
                log = eval(worker.get("/").body)
                (before, between), rest = log[2], log[3:]
                assert log[:2] == [("import", zygote.pid), ("factory", zygote.pid)]
                # In the process between the zygote and the worker: the zygote itself runs nothing after the import.
                assert before == "before"
                assert between not in (zygote.pid, worker.pid)
                pid = worker.pid
                assert rest == [
                    ("in child", pid),
                    ("post_fork " + number, pid),
                    ("post_worker_init %d" % pid, pid),
                ]
                assert worker.stop() == 0
                assert "worker_exit %d" % pid in worker.log()


def test_a_hook_that_fails_fails_the_worker_only(tmp_path: Path) -> None:
    source = STATE + "def post_fork(worker):\n    assert worker.id != '2', 'not this one'\n"
    with start(tmp_path, source) as zygote:
        with zygote.fork("2", ready=False) as worker:
            event = worker.event("failed")
            assert (event["stage"], worker.join()) == ("hook", 3)
            assert "AssertionError: not this one" in event["error"]
        with zygote.fork("3") as worker:
            assert worker.get("/").status == "200 OK"


def test_handlers_of_the_application_for_signals_are_there_in_the_worker_but_not_in_the_zygote(tmp_path: Path) -> None:
    source = STATE + "signal.signal(signal.SIGTERM, lambda number, frame: print('terminated', os.getpid()))\n"
    with start(tmp_path, source) as zygote:
        with zygote.fork() as worker:
            os.kill(worker.pid, signal.SIGTERM)
            worker.wait_log("terminated %d" % worker.pid)
            assert worker.get("/").status == "200 OK"
        os.kill(zygote.pid, signal.SIGTERM)
        assert zygote.join() == -signal.SIGTERM
        assert "terminated" not in zygote.log()


def test_sigterm_stops_a_forked_worker_in_order() -> None:
    with Zygote("wsgi_apps:blocking", HERE) as zygote, zygote.fork() as worker:
        running = worker.request(environ("/wait", query="g"))
        worker.wait_log("waiting g")
        os.kill(worker.pid, signal.SIGINT)
        os.kill(worker.pid, signal.SIGTERM)
        assert worker.get("/open", query="g").status == "200 OK"
        assert worker.answer(running).body == b"g"
        assert worker.join() == 0


def test_the_zygotes_death_does_no_harm_to_its_workers(tmp_path: Path) -> None:
    with start(tmp_path, STATE, threads=1) as zygote, zygote.fork() as worker:
        zygote.kill()
        assert eval(worker.get("/").body)["parent"] == os.getpid()
        assert worker.stop() == 0


def test_the_end_of_the_control_socket_ends_zygote_and_worker(tmp_path: Path) -> None:
    with start(tmp_path, STATE) as zygote:
        with zygote.fork() as worker:
            worker.control.shutdown(2)
            assert worker.join() == 1
        zygote.control.shutdown(2)
        assert zygote.join() == 0


def test_a_worker_that_is_never_started_ends_with_its_control_socket(tmp_path: Path) -> None:
    source = STATE + "import atexit\natexit.register(print, 'at exit')\n"
    with start(tmp_path, source) as zygote:
        ends = [socket.socketpair() for _ in range(2)]
        with tempfile.TemporaryFile() as file:
            file.truncate(65536)
            given = [ends[0][1].fileno(), ends[1][1].fileno(), file.fileno(), file.fileno(), file.fileno()]
            pid = zygote.forked(given, "1")["pid"]
            for pair in ends:
                for sock in pair:
                    sock.close()
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
            assert b"at exit" not in file.read()


def test_the_kernel_kills_a_worker_whose_parent_is_gone(tmp_path: Path) -> None:
    # The worker ignores what Python could do for it: its control thread does not run while C code holds the lock.
    source = STATE + (
        "import ctypes\n"
        "def parent_death():\n"
        "    number = ctypes.c_int()\n"
        "    ctypes.CDLL(None).prctl(2, ctypes.byref(number), 0, 0, 0)\n"
        "    return number.value\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(parent_death()).encode()]\n"
    )
    with start(tmp_path, source, threads=1) as zygote, zygote.fork() as worker:
        assert int(worker.get("/").body) == signal.SIGKILL


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("import missing_package", "No module named 'missing_package'", 'shop.py", line 1'),
        ("def f(:", "SyntaxError: invalid syntax", 'shop.py", line 1'),
        ("import sys\nsys.exit(0)", "SystemExit: 0", "sys.exit(0)"),
        ("x = 1", "has no attribute 'app'", ""),
    ],
)
def test_an_import_that_fails(tmp_path: Path, source: str, error: str, text: str) -> None:
    (tmp_path / "shop.py").write_text(source)
    event, code, _ = zygote_failure("shop:app", tmp_path)
    assert event["stage"] == "import"
    assert error in event["error"]
    assert text in event["traceback"]
    assert "pyspeed" not in event["traceback"]
    assert code == 4


def test_threads_of_the_import_are_refused_by_name(tmp_path: Path) -> None:
    source = """
import threading
def poll():
    threading.Event().wait()
threading.Thread(target=poll, name="price-poller", daemon=True).start()
import _thread
_thread.start_new_thread(poll, ())
app = lambda environ, start_response: []
"""
    (tmp_path / "shop.py").write_text(source)
    event, code, _ = zygote_failure("shop:app", tmp_path)
    assert (event["stage"], code) == ("preload", 3)
    assert "price-poller (poll in %s)" % (tmp_path / "shop.py") in event["error"]
    assert "one without a name (poll in %s)" % (tmp_path / "shop.py") in event["error"]
    assert "start them in post_fork or post_worker_init, or set workers.preload to false" in event["error"]


def test_threads_that_end_with_the_import_are_no_reason(tmp_path: Path) -> None:
    source = STATE + (
        "import time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    list(pool.map(abs, range(10)))\n"
        "threading.Thread(target=time.sleep, args=(0.05,)).start()\n"
    )
    with start(tmp_path, source) as zygote, zygote.fork() as worker:
        assert worker.get("/").status == "200 OK"


@pytest.mark.parametrize(
    ("source", "closed"),
    [
        ("loop = asyncio.new_event_loop()", False),
        ("loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop)", False),
        ("async def f(): ...\nasyncio.run(f())", True),
    ],
)
def test_an_event_loop_of_the_import_is_refused_unless_it_is_closed(tmp_path: Path, source: str, closed: bool) -> None:
    (tmp_path / "shop.py").write_text(
        "import asyncio\n%s\nasync def app(scope, receive, send): raise NotImplementedError\n" % source
    )
    if closed:
        with Zygote("shop:app", tmp_path) as zygote, zygote.fork() as worker:
            assert worker.ready["interface"] == "asgi"
        return
    event, code, _ = zygote_failure("shop:app", tmp_path)
    assert (event["stage"], code) == ("preload", 3)
    assert "event loop" in event["error"]


def test_an_asgi_application_has_its_loop_and_its_lifespan_in_each_worker() -> None:
    with Zygote("asgi_lifespan_apps:complete", HERE) as zygote:
        with zygote.fork("1") as one, zygote.fork("2") as two:
            for worker in (one, two):
                assert worker.ready["lifespan"] == "on"
                worker.wait_log("lifespan: lifespan.startup")
                assert worker.stop() == 0
                worker.wait_log("lifespan: lifespan.shutdown")
        assert zygote.log() == ""


def test_connections_of_the_import_are_named(tmp_path: Path) -> None:
    source = STATE + (
        "import socket\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "connected = socket.create_connection(listener.getsockname())\n"
        "pair = socket.socketpair()\n"
        "udp = socket.socket(type=socket.SOCK_DGRAM)\n"
        "udp.connect(('127.0.0.1', 9))\n"
        "print(listener.getsockname()[1])\n"
    )
    with start(tmp_path, source, arguments=[]) as zygote, zygote.fork() as worker:
        assert worker.get("/").status == "200 OK"
        port, _, warning = zygote.log().partition("\n")
        assert warning.count("127.0.0.1:") == 2
        assert "all preloaded workers share: 127.0.0.1:%s, listening on 127.0.0.1:%s;" % (port, port) in warning


def test_forks_that_fail_are_told(tmp_path: Path) -> None:
    with start(tmp_path, STATE, threads=1) as zygote:
        import resource

        most = resource.prlimit(zygote.pid, resource.RLIMIT_NOFILE)[1]
        with open(os.devnull) as file:
            # First there is no room for the descriptors that come with the command, in the end for the zygote's own.
            for limit in range(5, 100):
                resource.prlimit(zygote.pid, resource.RLIMIT_NOFILE, (limit, most))
                answer = zygote.forked([file.fileno()] * 5, "1")
                if answer["pid"]:
                    os.waitpid(answer["pid"], 0)
                    break
                assert re.search("are missing|Too many open files", answer["error"])
            assert limit > 10
        resource.prlimit(zygote.pid, resource.RLIMIT_NOFILE, (most, most))
        with zygote.fork() as worker:
            assert worker.get("/").status == "200 OK"


def test_commands_are_answered_while_it_imports_and_afterwards(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import threading\nprint('importing')\nthreading.Event().wait()\n")
    with Zygote("shop:app", tmp_path, ready=False) as zygote:
        zygote.wait_log("importing")
        assert zygote.ask("ping", "pong", n=5)["n"] == 5
        zygote.ask("dump", "dumped")
        assert "shop.py" in zygote.log()
        assert zygote.stop() == 0
    with start(tmp_path, STATE) as zygote:
        assert zygote.ask("ping", "pong", n=6)["n"] == 6
        zygote.ask("dump", "dumped")
        with zygote.fork() as worker:
            assert worker.get("/").status == "200 OK"
        assert zygote.stop() == 0


def test_what_lives_is_frozen_and_shared_modules_are_imported_before_the_fork(tmp_path: Path) -> None:
    source = STATE + (
        "import gc\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    own = [name for name in sys.modules if name.partition('.')[0] == 'pyspeed']\n"
        "    return [repr((gc.get_freeze_count(), gc.isenabled(), own)).encode()]\n"
    )
    with start(tmp_path, source, threads=1, shim="zip") as zygote, zygote.fork() as worker:
        frozen, enabled, own = eval(worker.get("/").body)
        assert frozen > 1000
        assert enabled
        assert "pyspeed.wsgi" in own
        assert "pyspeed.asgi" not in own


def test_what_a_hook_opens_in_the_worker_stays_open(tmp_path: Path) -> None:
    # As gevent does: the number of a descriptor that was closed for the worker would be another's already.
    source = STATE + (
        "os.register_at_fork(after_in_child=lambda: log.append(os.open(__file__, os.O_RDONLY)))\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [repr([os.readlink('/proc/self/fd/%d' % fd) for fd in log]).encode()]\n"
    )
    with start(tmp_path, source, threads=1) as zygote, zygote.fork() as worker:
        assert eval(worker.get("/").body) == [str(tmp_path / "shop.py")]
        assert worker.stop() == 0
