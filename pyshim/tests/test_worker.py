"""The process: how it starts, fails to start, answers commands and ends."""

from __future__ import annotations

import marshal
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Dict

import pytest
from gateway import Worker, environ

from pyspeed import records
from pyspeed.control import Control

HERE = Path(__file__).resolve().parent


def start(tmp_path: Path, source: str, target: str = "shop:app", **settings: Any) -> Worker:
    (tmp_path / "shop.py").write_text(source)
    return Worker(target, tmp_path, **settings)


def failed(tmp_path: Path, source: str, target: str = "shop:app", **settings: Any) -> tuple[Dict[str, Any], int]:
    with start(tmp_path, source, target, ready=False, **settings) as worker:
        return worker.event("failed"), worker.join()


WSGI = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [repr({}).encode()]\n"


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("import missing_package", "No module named 'missing_package'", 'shop.py", line 1'),
        ("def f(:", "SyntaxError: invalid syntax", 'shop.py", line 1'),
        ("1 / 0", "ZeroDivisionError: division by zero", "1 / 0"),
        ("import sys\nsys.exit(0)", "SystemExit: 0", "sys.exit(0)"),
        ("x = 1", "has no attribute 'app'", ""),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", "shop.py"),
    ],
)
def test_an_import_that_fails(tmp_path: Path, source: str, error: str, text: str) -> None:
    event, code = failed(tmp_path, source)
    assert event["stage"] == "import"
    assert error in event["error"]
    assert "\n" not in event["error"]
    assert text in event["traceback"]
    assert "pyspeed" not in event["traceback"]
    assert "importlib" not in event["traceback"]
    assert code == 4


def test_a_factory_that_fails(tmp_path: Path) -> None:
    event, code = failed(tmp_path, "def make(): raise ValueError('no database')", "shop:make()")
    assert (event["stage"], event["error"], code) == ("import", "ValueError: no database", 4)
    assert "in make" in event["traceback"]


@pytest.mark.parametrize(
    ("source", "settings", "error"),
    [
        ("app = 7", {}, "is a int, which is not callable"),
        ("async def app(s, r, t): ...", {"interface": "wsgi"}, "use interface asgi"),
        ("def app(): ...", {}, "looks like a factory"),
    ],
)
def test_an_interface_that_does_not_fit(tmp_path: Path, source: str, settings: Dict[str, Any], error: str) -> None:
    event, code = failed(tmp_path, source, **settings)
    assert event["stage"] == "interface"
    assert error in event["error"]
    assert code == 3


def test_a_long_traceback_arrives_whole(tmp_path: Path) -> None:
    event, _ = failed(tmp_path, "raise ValueError('x' * 200000)")
    assert len(event["traceback"]) > 200000


def test_what_the_application_sees_of_its_process(tmp_path: Path) -> None:
    source = (
        "import os, sys, threading\n" + WSGI.format("state()") + "def state():\n"
        "    import fcntl\n"
        "    kept = [fd for fd in (3, 4, 6) if not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC]\n"
        "    return {'argv': sys.argv, 'path': sys.path[0], 'kept': kept, 'cwd': os.getcwd(),\n"
        "            'main': threading.current_thread() is threading.main_thread(), 'stdin': sys.stdin.read()}\n"
    )
    with start(tmp_path, source, threads=1) as worker:
        state = eval(worker.get("/").body)
    assert state == {
        "argv": ["shop:app"],
        "path": str(tmp_path),
        "kept": [],
        "cwd": os.path.realpath(tmp_path),
        "main": True,
        "stdin": "",
    }


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc/self/fd, as the gateway does here")
def test_the_shim_runs_from_a_zip_in_a_descriptor(tmp_path: Path) -> None:
    source = "import pyspeed, sys\n" + WSGI.format("(pyspeed.__file__, sys.path[-1])")
    with start(tmp_path, source, shim="zip") as worker:
        file, last = eval(worker.get("/").body)
        assert file == "/proc/self/fd/6/pyspeed/__init__.py"
        assert last == "/proc/self/fd/6"
        assert worker.stop() == 0


def test_a_worker_imports_only_what_a_plain_application_needs(tmp_path: Path) -> None:
    source = "import sys\n" + WSGI.format("(sorted(sys.modules), sys.version_info >= (3, 10))")
    with start(tmp_path, source, arguments=["-S"]) as worker:
        loaded, recent = eval(worker.get("/").body)
    costly = {"ast", "difflib", "inspect", "platform", "selectors", "shutil", "socket", "traceback"}
    if recent:  # Python 3.9's runpy imports these
        costly |= {"enum", "re", "typing"}
    assert not set(loaded) & costly


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits descriptors as Linux does")
def test_an_application_that_runs_out_of_descriptors_is_logged(tmp_path: Path) -> None:
    source = """
import resource

def app(environ, start_response):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (3 if environ["PATH_INFO"] == "/" else most, most))
    start_response("200 OK", [])
    return [open(__file__, "rb").read()]
"""
    with start(tmp_path, source) as worker:
        assert worker.get("/").app_status == records.APP_FAILED
        worker.wait_log("Too many open files")
        assert 'shop.py", line 8, in app' in worker.log()
        assert worker.get("/again").body == source.encode()
        assert worker.stop() == 0, worker.log()


def test_the_end_of_the_control_socket_ends_the_worker_at_once() -> None:
    with Worker("wsgi_apps:blocking", HERE, threads=1) as worker:
        worker.request(environ("/wait", query="for ever"))
        worker.wait_log("waiting for ever")
        worker.control.shutdown(2)
        assert worker.join() == 1


def test_the_end_of_the_control_socket_ends_an_import(tmp_path: Path) -> None:
    source = "import threading\nprint('importing')\nthreading.Event().wait()\n"
    with start(tmp_path, source, ready=False) as worker:
        worker.wait_log("importing")
        worker.control.shutdown(2)
        assert worker.join() == 1


def test_stop_during_import(tmp_path: Path) -> None:
    source = "import threading\nprint('importing')\nthreading.Event().wait()\n"
    with start(tmp_path, source, ready=False) as worker:
        worker.wait_log("importing")
        assert worker.ask("ping", "pong", n=5)["n"] == 5
        worker.ask("dump", "dumped")
        assert "shop.py" in worker.log()
        assert worker.stop() == 0


ASGI = "async def app(scope, receive, send):\n    raise NotImplementedError\n"


@pytest.mark.parametrize("source", [WSGI.format("1"), ASGI], ids=["wsgi", "asgi"])
def test_the_gateway_says_with_which_code_to_end(tmp_path: Path, source: str) -> None:
    with start(tmp_path, source) as worker:
        worker.command({"cmd": "stop", "code": 5})
        assert worker.stop() == 5  # a second one, as SIGTERM is, has none


def test_the_code_is_heeded_during_an_import(tmp_path: Path) -> None:
    source = "import threading\nprint('importing')\nthreading.Event().wait()\n"
    with start(tmp_path, source, ready=False) as worker:
        worker.wait_log("importing")
        assert worker.stop(code=5) == 5


def test_sigterm_is_a_graceful_stop_and_sigint_is_nothing() -> None:
    with Worker("wsgi_apps:blocking", HERE) as worker:
        running = worker.request(environ("/wait", query="g"))
        worker.wait_log("waiting g")
        os.kill(worker.pid, signal.SIGINT)
        os.kill(worker.pid, signal.SIGTERM)
        assert worker.get("/open", query="g").status == "200 OK"
        assert worker.answer(running).body == b"g"
        assert worker.join() == 0


def test_exit_hooks_run_at_stop(tmp_path: Path) -> None:
    with start(tmp_path, "import atexit\natexit.register(print, 'goodbye')\n" + WSGI) as worker:
        assert worker.stop() == 0
        assert "goodbye\n" in worker.log()


def test_dump_shows_every_thread_while_the_application_is_stuck() -> None:
    with Worker("wsgi_apps:blocking", HERE, threads=1) as worker:
        worker.request(environ("/wait", query="stuck"))
        worker.wait_log("waiting stuck")
        worker.ask("dump", "dumped")
        log = worker.log()
        assert "in blocking" in log
        assert "in _watch" in log


def test_a_protocol_error_ends_the_worker_with_a_message() -> None:
    with Worker("wsgi_apps:mixed", HERE) as worker:
        worker.send(b"HTTP/1.1 200 OK\r\n\r\n")
        assert worker.join() == 1
        assert "cannot read a record: version 72 instead of 1" in worker.log()


def test_an_unknown_command_is_ignored() -> None:
    with Worker("wsgi_apps:mixed", HERE) as worker:
        worker.command({"cmd": "make coffee"})
        worker.command({})
        assert worker.ask("ping", "pong", n=1)["n"] == 1


def test_a_start_by_hand_says_what_to_do() -> None:
    import subprocess

    from gateway import PYTHON, SHIM

    for arguments, code in ((["worker"], 3), (["serve"], 2), ([], 2)):
        done = subprocess.run([PYTHON, str(SHIM), *arguments], capture_output=True, text=True, close_fds=True)
        assert done.returncode == code
        assert "workers are started by pyspeed-gw" in done.stderr


FORKS = """
import os, sys
reader, writer = os.pipe()
runs, says_so = os.pipe()
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/returns':
        pid = os.fork()
        return [b'twice?' if pid else b'from the child']
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.write(says_so, b'x')
        os.read(reader, 1)  # until the parent ends
        os._exit(0)
    os.read(runs, 1)
    return [str(pid).encode()]
"""


def test_a_forked_child_does_not_hold_the_sockets(tmp_path: Path) -> None:
    # The child of this one outlives its parent, as it keeps the pipe open.
    source = FORKS.replace("os.close(writer)", "pass")
    with start(tmp_path, source, arguments=[], threads=1) as worker:
        child = int(worker.get("/").body)
        try:
            worker.kill()
            worker.until(lambda: worker.data_closed, "the end of the data socket")
        finally:
            os.kill(child, signal.SIGKILL)


def test_sigterm_to_a_forked_child_ends_the_child_only(tmp_path: Path) -> None:
    with start(tmp_path, FORKS, arguments=[], threads=1) as worker:
        child = int(worker.get("/").body)
        os.kill(child, signal.SIGTERM)
        worker.until(lambda: ended(child), "the child to end")
        other = int(worker.get("/").body)
        worker.kill()
        worker.until(lambda: ended(other), "the other child to end")


def test_a_child_that_returns_from_the_application_answers_nothing(tmp_path: Path) -> None:
    with start(tmp_path, FORKS, arguments=[], threads=1) as worker:
        for _ in range(3):
            assert worker.get("/returns").body == b"twice?"
        assert worker.stop() == 0


def ended(pid: int) -> bool:
    """Whether the process has ended, reaped or not."""
    try:
        return ") Z" in Path("/proc/%d/stat" % pid).read_text()
    except OSError:
        return True


def test_a_failed_start_does_not_wait_for_threads(tmp_path: Path) -> None:
    source = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n1 / 0\n"
    assert failed(tmp_path, source)[1] == 4


def test_programs_that_the_application_starts_heed_ctrl_c(tmp_path: Path) -> None:
    source = "import subprocess, sys\n" + WSGI.format(
        "subprocess.run([sys.executable, '-c', PROGRAM], capture_output=True).stdout"
    )
    source += "PROGRAM = 'import signal; print(signal.getsignal(2) is signal.default_int_handler)'\n"
    with start(tmp_path, source) as worker:
        assert eval(worker.get("/").body) == b"True\n"


def test_a_signal_handler_of_the_application_that_raises_between_requests(tmp_path: Path) -> None:
    source = "import signal\ndef boom(*_): raise TimeoutError('alarm')\nsignal.signal(signal.SIGUSR2, boom)\n" + WSGI
    with start(tmp_path, source, threads=1) as worker:
        assert worker.get("/").status == "200 OK"
        # Again and again: Python cannot see a signal that comes just before a blocking call.
        code = None
        for _ in range(60):
            os.kill(worker.pid, signal.SIGUSR2)
            try:
                code = worker.join(0.5)
                break
            except AssertionError:
                continue  # it has not ended
        assert code == 1
        assert "cannot go on" in worker.log()
        assert "TimeoutError('alarm')" in worker.log()


def test_what_goes_to_the_gateway_stays_within_the_marshal_subset(tmp_path: Path) -> None:
    # A lone surrogate is nothing that UTF-8 knows; marshal.dumps would write it all the same.
    event, _ = failed(tmp_path, "raise ValueError('caf\\udce9')\n")
    assert event["error"] == "ValueError: caf\\udce9"
    event["traceback"].encode()


@pytest.mark.parametrize(
    ("value", "sent"),
    [(1 << 31, (1 << 31) - 1), (-(1 << 40), 1 - (1 << 31)), (True, True), (7, 7), ([1, 65535], [1, 65535])],
)
def test_numbers_are_clamped_to_31_bits(value: Any, sent: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Control(theirs).send({"event": "test", "value": value})
        data = ours.recv(65536)
    assert marshal.loads(data[records.HEADER_LENGTH :])["value"] == sent
