"""``run_app``: a program serves its own application, on a real terminal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import processes
from harness.client import Address, Connection, fetch
from harness.program import Program, environment
from harness.server import REPOSITORY
from harness.waiting import eventually
from harness.zoo import DIRECTORY

pytestmark = pytest.mark.pyspeed

KINDS = ("wsgi", "asgi")


@pytest.fixture
def start_program(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts ``own_server.py KIND [keyword=JSON …]`` on a free port."""
    started: list[Program] = []

    def start(kind: str, *keywords: str, env: dict[str, str] | None = None, script: str = "own_server.py") -> Program:
        if not any(k.startswith(("port=", "uds=")) for k in keywords):
            keywords = (*keywords, "port=0")
        program = Program(
            script, kind, *keywords, directory=DIRECTORY, env={"ZOO_GATE": str(tmp_path / "zoo"), **(env or {})}
        )
        started.append(program)
        return program

    yield start
    for program in started:
        program.stop()


class Request(threading.Thread):
    """A request in the background; ``outcome()`` is its body, or what went wrong."""

    def __init__(self, address: Address, target: str) -> None:
        super().__init__(daemon=True)
        self._address, self._target = address, target
        self._outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            answer = fetch(self._address, "GET", self._target)
            self._outcome = answer.body if answer.status == 200 else answer.status
        except Exception as error:
            self._outcome = error

    def outcome(self) -> Any:
        self.join(30)
        assert not self.is_alive(), "no answer"
        return self._outcome


@pytest.mark.parametrize("kind", [*KINDS, "closure", "lambda"])
def test_serves_and_stops_at_ctrl_c(start_program: Callable[..., Program], kind: str) -> None:
    program = start_program(kind)
    address = program.address()
    expected = {"closure": b"from a closure", "lambda": b"from a lambda"}.get(kind, b"hello")
    assert fetch(address, "GET", "/").body == expected
    assert program.log.wait_for(r"PySpeed on http://127.0.0.1:\d+ \(Press CTRL\+C to quit\)")
    gateway = program.gateway()
    program.type("\x03")
    assert program.wait_exit() == 0, str(program.log)
    assert program.log.wait_for(r"returned \[\]")
    assert not processes.alive(gateway)
    if kind == "asgi":
        assert program.log.wait_for(r"lifespan.startup")
        assert program.log.wait_for(r"lifespan.shutdown")
    assert b"Traceback" not in program.log.since()


@pytest.mark.parametrize("kind", KINDS)
def test_the_calling_process_is_the_worker(start_program: Callable[..., Program], kind: str) -> None:
    program = start_program(kind)
    pid, thread, _ = fetch(program.address(), "GET", "/where").json()
    assert (pid, thread) == (program.pid, "MainThread")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", KINDS)
def test_first_signal_lets_the_request_finish(
    start_program: Callable[..., Program], kind: str, number: int, tmp_path: Path
) -> None:
    program = start_program(kind)
    address = program.address()
    request = Request(address, "/wait")
    program.log.wait_for("begun")
    program.signal(number)

    def refused() -> bool:
        try:
            address.connect().close()
        except ConnectionRefusedError:
            return True
        return False

    eventually(refused, "accepts no more")
    (tmp_path / "zoo.gate").touch()
    assert request.outcome() == b"hello"
    assert program.wait_exit() == 0, str(program.log)
    program.log.wait_for(r"returned \[\]")


@pytest.mark.parametrize(("kind", "path"), [("wsgi", "/stuck"), ("asgi", "/stuck"), ("asgi", "/block")])
def test_second_ctrl_c_is_at_once(start_program: Callable[..., Program], kind: str, path: str) -> None:
    program = start_program(kind)
    request = Request(program.address(), path)
    program.log.wait_for("begun")
    program.type("\x03")
    eventually(lambda: not program_listens(program), "accepts no more")
    program.type("\x03")
    assert program.wait_exit() == 0, str(program.log)
    program.log.wait_for("returned")
    assert request.outcome() != b"hello"


def program_listens(program: Program) -> bool:
    try:
        program.address().connect().close()
    except ConnectionRefusedError:
        return False
    return True


def test_second_ctrl_c_leaves_other_threads_behind(start_program: Callable[..., Program]) -> None:
    """Four requests that never end: three of them are on threads that nobody can interrupt."""
    program = start_program("wsgi", "threads=4")
    requests = [Request(program.address(), "/stuck") for _ in range(4)]
    program.log.wait_for("begun", count=4)
    program.type("\x03")
    eventually(lambda: not program_listens(program), "accepts no more")
    program.type("\x03")
    assert program.wait_exit() == 0, str(program.log)
    program.log.wait_for("returned")
    assert all(request.outcome() != b"hello" for request in requests)


def test_ctrl_c_while_the_application_is_imported(start_program: Callable[..., Program], tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text("import threading\nprint('importing', flush=True)\nthreading.Event().wait()\n")
    program = start_program("endless:app", f'app_dir="{tmp_path}"')
    program.log.wait_for("importing")
    gateway = program.gateway()
    program.type("\x03")
    assert program.wait_exit() == -signal.SIGINT  # KeyboardInterrupt, as anywhere in an import
    program.log.wait_for("KeyboardInterrupt")
    assert not processes.alive(gateway)


@pytest.mark.parametrize("kind", KINDS)
def test_sys_exit_in_a_request_is_that_requests(start_program: Callable[..., Program], kind: str) -> None:
    program = start_program(kind)
    assert fetch(program.address(), "GET", "/exit").status == 500
    assert fetch(program.address(), "GET", "/").body == b"hello"
    program.type("\x03")
    assert program.wait_exit() == 0


def test_exceptions_are_on_the_terminal(start_program: Callable[..., Program]) -> None:
    program = start_program("wsgi")
    assert fetch(program.address(), "GET", "/raise").status == 500
    program.log.wait_for("ZeroDivisionError: on purpose")


def test_signal_handlers_of_the_application_run(start_program: Callable[..., Program]) -> None:
    for kind in KINDS:
        program = start_program(kind)
        address = program.address()
        program.signal(signal.SIGUSR1)
        eventually(lambda address=address: fetch(address, "GET", "/handled").body == b"1", "the handler ran")


def test_breakpoint(start_program: Callable[..., Program]) -> None:
    """pdb on the terminal, in the middle of a request; Ctrl-C still stops the server afterwards."""
    program = start_program("wsgi")
    request = Request(program.address(), "/break")
    program.log.wait_for(r"\(Pdb\) ")
    mark = program.log.mark()
    program.type("p secret.upper()\n")
    program.log.wait_for("'SECRET'", since=mark)
    # Others are served meanwhile.
    assert fetch(program.address(), "GET", "/").body == b"hello"
    program.type("c\n")
    assert request.outcome() == b"secret"
    program.type("\x03")
    assert program.wait_exit() == 0, str(program.log)


def test_a_debugged_application_is_never_killed(start_program: Callable[..., Program]) -> None:
    """With one thread everything waits for the developer: 503 after the queue's time, stacks once, no kill."""
    options = 'options={"workers.timeout": "1s", "workers.queue_timeout": "300ms", "workers.threads": 1}'
    program = start_program("wsgi", options)
    address = program.address()
    request = Request(address, "/break")
    program.log.wait_for(r"\(Pdb\) ")
    eventually(lambda: fetch(address, "GET", "/").status == 503, "waits in vain")
    program.log.wait_for("the application holds its event loop or all its threads")
    eventually(lambda: fetch(address, "GET", "/").status == 503, "waits in vain again")
    program.type("c\n")
    assert request.outcome() == b"secret"
    eventually(lambda: fetch(address, "GET", "/").body == b"hello", "serves again")
    assert program.log.since().count(b"requests wait until it turns") == 1
    program.type("\x03")
    assert program.wait_exit() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_takes_too_long(start_program: Callable[..., Program], kind: str, tmp_path: Path) -> None:
    """Its stacks are shown, its client gets 504, and the process goes on."""
    options = 'options={"server.timeouts.request_soft": "1s", "server.timeouts.request": "2s"}'
    program = start_program(kind, options)
    address = program.address()
    before = fetch(address, "GET", "/where").json()[0]
    request = Request(address, "/wait")
    program.log.wait_for("begun")
    program.log.wait_for("a request takes long")
    program.log.wait_for(rf"own_server\.py\W.* in {kind}\b")
    assert request.outcome() == 504
    program.log.wait_for("a request took too long")
    (tmp_path / "zoo.gate").touch()
    assert fetch(address, "GET", "/where").json()[0] == before == program.pid
    program.type("\x03")
    assert program.wait_exit() == 0
    assert b"replacing" not in program.log.since()


def test_from_another_thread(start_program: Callable[..., Program]) -> None:
    program = start_program("wsgi", "thread=true")
    _, thread, _ = fetch(program.address(), "GET", "/where").json()
    assert thread != "MainThread"
    os.kill(program.gateway(), signal.SIGTERM)
    assert program.wait_exit() == 0
    program.log.wait_for(r"returned \[\]")


@pytest.mark.parametrize("kind", KINDS)
def test_inside_a_running_loop(start_program: Callable[..., Program], kind: str) -> None:
    """As in a notebook's cell: the loop stands still, a thread serves, Ctrl-C ends it."""
    program = start_program(kind, "notebook=true")
    _, thread, _ = fetch(program.address(), "GET", "/where").json()
    assert thread == "pyspeed-serving"
    program.type("\x03")
    assert program.wait_exit() == 0, str(program.log)
    program.log.wait_for(r"returned \[\]")


def test_target_by_name(start_program: Callable[..., Program]) -> None:
    program = start_program("plain:wsgi")
    assert fetch(program.address(), "GET", "/ok").status == 200
    assert processes.children(program.pid) == [program.gateway()]
    program.type("\x03")
    assert program.wait_exit() == 0


def test_hooks_of_a_target(start_program: Callable[..., Program]) -> None:
    program = start_program("own_hooks:app")
    assert fetch(program.address(), "GET", "/").body == b"hello"
    program.signal(signal.SIGTERM)
    assert program.wait_exit() == 0
    said = [line.strip() for line in program.log.lines if b"_" in line and b" " not in line.strip()]
    assert said == [b"post_worker_init", b"worker_exit"]  # nothing was forked


def test_program_that_gevent_has_patched(start_program: Callable[..., Program]) -> None:
    program = start_program("-", script="own_server_gevent.py")
    requests = [Request(program.address(), "/") for _ in range(50)]
    assert [request.outcome() for request in requests] == [b"together"] * 50
    program.type("\x03")
    assert program.wait_exit() == 0, str(program.log)
    program.log.wait_for("returned")


def test_several_workers_by_name(start_program: Callable[..., Program]) -> None:
    program = start_program("own_server:wsgi", "workers=2")
    pid, _, _ = fetch(program.address(), "GET", "/where").json()
    gateway = program.gateway()
    assert pid != program.pid
    assert pid in processes.children(gateway)
    assert len(processes.children(gateway)) == 2
    program.type("\x03")
    assert program.wait_exit() == 0, str(program.log)
    program.log.wait_for(r"returned \[\]")
    assert not processes.alive(pid)


def test_several_workers_die_with_the_program(start_program: Callable[..., Program]) -> None:
    program = start_program("own_server:wsgi", "workers=2")
    program.address()
    everybody = [program.gateway(), *processes.children(program.gateway())]
    program.signal(signal.SIGKILL)
    eventually(lambda: not any(map(processes.alive, everybody)), "the gateway and its workers end")


def test_the_program_is_killed(tmp_path: Path) -> None:
    """Its terminal would end with it, so a file takes what the gateway says."""
    command = [sys.executable, "own_server.py", "wsgi", "port=0"]
    errors = tmp_path / "errors"
    with (
        errors.open("wb") as file,
        subprocess.Popen(
            command, cwd=DIRECTORY, env=environment(), stderr=file, preexec_fn=processes.die_with_parent
        ) as program,
    ):
        eventually(lambda: "PySpeed on" in errors.read_text(), "listens")
        (gateway,) = processes.children(program.pid)
        program.kill()
    eventually(lambda: not processes.alive(gateway), "the gateway ends")
    assert f"the process that runs the application (pid {program.pid}) has ended" in errors.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_the_gateway_is_killed(start_program: Callable[..., Program], kind: str) -> None:
    program = start_program(kind)
    program.address()
    os.kill(program.gateway(), signal.SIGKILL)
    assert program.wait_exit() == 1
    program.log.wait_for(r"GatewayError: the gateway \(pid \d+\) was killed by signal 9")


def test_no_gateway(start_program: Callable[..., Program]) -> None:
    program = start_program("wsgi", env={"PYSPEED_GW": "/nowhere/pyspeed-gw"})
    assert program.wait_exit() == 1
    program.log.wait_for("GatewayError: cannot start the gateway: PYSPEED_GW names /nowhere/pyspeed-gw")


def test_gateway_is_nowhere(tmp_path: Path) -> None:
    """The package alone, copied out of the checkout."""
    (tmp_path / "pyspeed").symlink_to(REPOSITORY / "pyshim" / "pyspeed")
    from_link = "import sys; sys.path.insert(0, %r); from pyspeed import binary; binary.find({'PATH': '/nowhere'})"
    code = from_link % str(tmp_path)
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment({"PYSPEED_GW": ""}), capture_output=True, text=True, check=False
    )
    assert "cannot find the gateway's binary pyspeed-gw; looked at " in result.stderr
    assert "/nowhere/pyspeed-gw" in result.stderr
    assert "PYSPEED_GW" in result.stderr


def test_port_in_use(start_program: Callable[..., Program]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program = start_program("wsgi", f"port={taken.getsockname()[1]}")
        assert program.wait_exit() == 1
    program.log.wait_for(r"GatewayError: cannot listen on 127.0.0.1:\d+: .*address already in use")


def test_option_that_does_not_exist(start_program: Callable[..., Program]) -> None:
    program = start_program("wsgi", 'options={"server.limits.bodi": "10MiB"}')
    assert program.wait_exit() == 1
    program.log.wait_for(r"GatewayError: .*server.limits.bodi.*did you mean server.limits.body\?")


def test_reload(tmp_path: Path) -> None:
    """Of an application that is named; an edit of the program itself counts too."""
    source = (
        "from pyspeed import run_app\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'first']\n"
        "if __name__ == '__main__':\n"
        "    run_app('main:app', port=0, reload=True)\n"
    )
    (tmp_path / "main.py").write_text(source)
    program = Program("main.py", directory=tmp_path)
    try:
        address = program.address()
        assert fetch(address, "GET", "/").body == b"first"
        (tmp_path / "main.py").write_text(source.replace("first", "second"))
        eventually(lambda: fetch(address, "GET", "/").body == b"second", "the new code is served")
        program.log.wait_for(r"reloaded in \d+ ms: main.py")
        program.type("\x03")
        assert program.wait_exit() == 0, str(program.log)
    finally:
        program.stop()


def test_reload_of_an_object_is_refused(start_program: Callable[..., Program]) -> None:
    program = start_program("wsgi", "reload=true")
    assert program.wait_exit() == 1
    program.log.wait_for("ValueError: cannot reload an application object")


def test_other_version(start_program: Callable[..., Program]) -> None:
    code = "import pyspeed, runpy; pyspeed.__version__ = '99.0'; runpy.run_path('own_server.py', run_name='__main__')"
    program = Program("-c", code, "wsgi", "port=0", directory=DIRECTORY)
    try:
        assert program.wait_exit() == 1
        program.log.wait_for(r"cannot work for the Python package pyspeed 99.0: this pyspeed-gw has version \d")
    finally:
        program.stop()


def test_unix_socket_and_env_file(start_program: Callable[..., Program], tmp_path: Path) -> None:
    (tmp_path / "env").write_text("ZOO_FROM_FILE=yes\n")
    program = start_program("wsgi", f'uds="{tmp_path}/s"', f'env_file="{tmp_path}/env"')
    address = program.address()
    assert address.is_unix
    assert fetch(address, "GET", "/env").body == b"yes"


def test_loop_keyword(start_program: Callable[..., Program]) -> None:
    program = start_program("asgi", 'loop="asyncio"')
    assert fetch(program.address(), "GET", "/where").json()[2].startswith("asyncio")


def test_imported_by_a_worker(start_program: Callable[..., Program], tmp_path: Path) -> None:
    """The call is not guarded, so each worker that imports the module comes to it."""
    (tmp_path / "unguarded.py").write_text(
        "from pyspeed import run_app\n\ndef app(environ, start_response): ...\n\n"
        "run_app('unguarded:app', workers=2, port=0)\n"
    )
    program = Program(str(tmp_path / "unguarded.py"), directory=tmp_path)
    try:
        assert program.wait_exit() == 1
        program.log.wait_for("run_app\\(\\) was called while a worker imports the application")
    finally:
        program.stop()


def test_module_command(tmp_path: Path) -> None:
    """``python -m pyspeed`` is the gateway, and its workers run this interpreter."""
    program = Program("-m", "pyspeed", "own_server:wsgi", "--port=0", "--workers=1", directory=DIRECTORY)
    try:
        url = program.log.wait_for(r"listening on (http://\S+)")[0][1].decode()
        assert Path(f"/proc/{program.pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"pyspeed-gw")
        worker, _, _ = fetch(Address.parse(url), "GET", "/where").json()
        assert Path(f"/proc/{worker}/cmdline").read_bytes().split(b"\0")[0] == sys.executable.encode()
        program.type("\x03")
        assert program.wait_exit() == 0
    finally:
        program.stop()


def test_module_command_passes_exit_codes_on() -> None:
    command = [sys.executable, "-m", "pyspeed"]
    for arguments, code, text in (
        (["--version"], 0, "pyspeed-gw "),
        (["--help"], 0, "--workers"),
        (["--no-such-flag"], 1, "unknown flag"),
        (["check", "nowhere:app"], 4, "there is no module 'nowhere'"),
    ):
        result = subprocess.run([*command, *arguments], env=environment(), capture_output=True, text=True, check=False)
        assert result.returncode == code, result
        assert text in result.stdout + result.stderr


def test_keep_alive_client_does_not_delay_the_end(start_program: Callable[..., Program]) -> None:
    program = start_program("asgi")
    with Connection(program.address()) as connection:
        assert connection.request("GET", "/").status == 200
        program.type("\x03")
        assert program.wait_exit() == 0
