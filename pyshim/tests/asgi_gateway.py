"""A gateway for the ASGI tests: starts a real worker process and speaks the profile with it.

Unlike `gateway.py`, which reads on threads of its own and gives credit by itself, nothing happens
here unless the test does it: so a test can be the gateway that does not read, or
prove that nothing more came. The sockets' timeout only keeps a failing test from hanging.
"""

from __future__ import annotations

import fcntl
import marshal
import mmap
import os
import select
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from pyspeed import records

# The worker's interpreter may be another one than the tests'.
PYTHON = os.environ.get("PYSPEED_TEST_PYTHON", sys.executable)
LOOPS = ("default", "asyncio")  # default: uvloop where it is importable

TESTS = Path(__file__).resolve().parent
TIMEOUT = 30.0  # seconds until a worker that says nothing fails the test

LAUNCHER = """
import os, sys
for place, descriptor in zip((3, 4, 5), map(int, sys.argv[1:4])):
    os.dup2(descriptor, place)
    os.close(descriptor)
sys.path.insert(0, sys.argv[4])
if sys.argv[5] == "asyncio":
    sys.modules["uvloop"] = None
from pyspeed.worker import main
sys.exit(main(["worker"]))
"""


@dataclass
class Answer:
    """What came back for one request so far."""

    status: Any = None
    headers: list[tuple[Any, Any]] = field(default_factory=list)
    body: bytes = b""
    end: int | None = None  # appStatus, 0 for RESPONSE with LAST
    records: list[tuple[int, int, int]] = field(default_factory=list)  # type, flags, content length
    informational: list[tuple[Any, Any]] = field(default_factory=list)
    credit: int = 0  # of all WINDOW records
    head: bytes = b""  # a RESPONSE continued with MORE


class Worker:
    """A worker process serving one application; a context manager."""

    def __init__(
        self, target: str = "asgi_apps:app", loop: str = "default", started: bool = True, **settings: Any
    ) -> None:
        self.data, data = socket.socketpair()
        self.control, control = socket.socketpair()
        self.data.settimeout(TIMEOUT)
        self.control.settimeout(TIMEOUT)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        file.truncate(65536)
        self.marks = mmap.mmap(file.fileno(), 65536)
        # Out of the way of the places 3 to 5, where the launcher puts them.
        given = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, 50) for one in (data, control, file)]
        command = [PYTHON, "-W", "error", "-c", LAUNCHER, *map(str, given), str(TESTS.parent), loop]
        self.process = subprocess.Popen(
            command, pass_fds=given, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for descriptor in given:
            os.close(descriptor)
        for one in (data, control, file):
            one.close()
        self.log = b""
        self.answers: dict[int, Answer] = {}
        self._records = records.Parser()
        self._messages = records.Parser()
        self._events: list[dict[str, Any]] = []
        self.stages: list[str] = []  # the parts of its start that it told
        self._next_id = 0
        start = {
            "cmd": "start", "target": target, "interface": "asgi", "factory": False, "directory": str(TESTS),
            "threads": 0, "max_threads": 64, "lifespan": "auto", "root_path": "", "worker_id": "1",
            "server_name": "127.0.0.1", "server_port": "8000", "multiprocess": False, "software": "pyspeed/test",
        }  # fmt: skip
        self.command(dict(start, **settings))
        self.started = self.event() if started else {}

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.data.close()
        self.control.close()
        self.marks.close()

    # The control socket.

    def command(self, message: dict[str, Any]) -> None:
        self.control.sendall(records.record(records.MESSAGE, 0, marshal.dumps(message, 2)))

    def event(self) -> dict[str, Any]:
        while not self._events:
            got = self.control.recv(65536)
            if not got:
                raise EOFError("the worker ended: " + self.rest_of_log())
            for _, _, _, content in self._messages.feed(got):
                event = marshal.loads(content)
                if event["event"] == "stage":
                    self.stages.append(" ".join(filter(None, (event["stage"], event["what"]))))
                else:
                    self._events.append(event)
        return self._events.pop(0)

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        self.command(dict(fields, cmd=command))
        return self.event()

    def stop(self) -> int:
        self.command({"cmd": "stop"})
        return self.exit_code()

    def exit_code(self) -> int:
        self.rest_of_log()
        return self.process.wait(TIMEOUT)

    # Standard error.

    def wait_log(self, text: str) -> str:
        """Read the log until it has the text; returns it."""
        assert self.process.stderr is not None
        while text.encode() not in self.log:
            if not select.select([self.process.stderr], [], [], TIMEOUT)[0]:
                raise TimeoutError(f"{text!r} is not in the log: {self.log.decode()}")
            got = os.read(self.process.stderr.fileno(), 65536)
            if not got:
                raise EOFError(f"{text!r} is not in the log: {self.log.decode()}")
            self.log += got
        return self.log.decode()

    def rest_of_log(self) -> str:
        """Read the log until the worker ends."""
        assert self.process.stderr is not None
        while True:
            if not select.select([self.process.stderr], [], [], TIMEOUT)[0]:
                raise TimeoutError("the worker does not end: " + self.log.decode())
            got = os.read(self.process.stderr.fileno(), 65536)
            if not got:
                return self.log.decode()
            self.log += got

    # The data socket.

    def send(
        self,
        path: str,
        query: bytes = b"",
        body: bytes | None = b"",
        window: int = 6,
        request_id: int | None = None,
        more: bytes = b"",
        **scope: Any,
    ) -> int:
        """Send a REQUEST and, in the same write, more; body None: STDIN records follow. Returns its id."""
        if request_id is None:
            self._next_id += 1
            request_id = self._next_id
        self.marks[request_id] = 0
        self.answers[request_id] = Answer()
        head = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": query, "root_path": "", "headers": [(b"host", b"test")],
            "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8000),
        }  # fmt: skip
        flags = window << 4 | (records.BODY if body is None else 0)
        content = marshal.dumps((dict(head, **scope), body), 2)
        self.data.sendall(b"".join(records.split(records.REQUEST, request_id, content, flags)) + more)
        return request_id

    def stdin(self, request_id: int, content: bytes) -> None:
        self.data.sendall(records.record(records.STDIN, request_id, content))

    def credit(self, request_id: int, size: int) -> None:
        self.data.sendall(records.window(request_id, size))

    def abort(self, request_id: int) -> None:
        self.data.sendall(records.record(records.ABORT_REQUEST, request_id))

    def read(self) -> None:
        """Read once and sort what arrived into `answers`."""
        got = self.data.recv(262144)
        if not got:
            raise EOFError("the worker closed its data socket: " + self.log.decode())
        for kind, request_id, flags, content in self._records.feed(got):
            self._take(self.answers[request_id], kind, flags, content)

    def _take(self, answer: Answer, kind: int, flags: int, content: bytes) -> None:
        assert answer.end is None, "a record after the answer's end"
        answer.records.append((kind, flags, len(content)))
        if kind == records.RESPONSE:
            answer.head += content
            if flags & records.MORE:
                return
            status, headers = marshal.loads(answer.head)
            body = answer.head[len(marshal.dumps((status, headers), 2)) :]
            answer.head = b""
            if status < 200:
                assert not body
                answer.informational.append((status, headers))
                return
            assert answer.status is None, "a second head"
            answer.status, answer.headers = status, headers
            answer.body += body
            if flags & records.LAST:
                answer.end = 0
        elif kind == records.STDOUT:
            assert answer.status is not None, "STDOUT before RESPONSE"
            answer.body += content
        elif kind == records.WINDOW:
            answer.credit += records.parse_window(content)
        elif kind == records.END_REQUEST:
            answer.end = records.parse_end_request(content)[0]
        else:
            raise AssertionError(f"a record of type {kind}")

    def finish(self, request_id: int) -> Answer:
        """Read until the answer is complete."""
        answer = self.answers[request_id]
        while answer.end is None:
            self.read()
        return answer

    def read_body(self, request_id: int, size: int) -> Answer:
        """Read until that much of the answer's body is here."""
        answer = self.answers[request_id]
        while len(answer.body) < size or answer.status is None:
            self.read()
        return answer

    def get(self, path: str, query: bytes = b"", **options: Any) -> Answer:
        return self.finish(self.send(path, query, **options))
