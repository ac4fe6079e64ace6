"""A fake gateway: starts a real worker process and speaks the profile ``pyspeed/1`` with it.

>>> with Worker("module:app", directory) as worker:
...     answer = worker.get("/")
...     assert (answer.status, answer.body) == ("200 OK", b"hello")

Nothing here waits for a length of time: ``timeout`` is only how long a broken worker may hang a test.
The worker runs on ``$PYSPEED_TEST_PYTHON``, or the Python that runs the tests.
"""

from __future__ import annotations

import fcntl
import io
import marshal
import mmap
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import zipfile
from collections import deque
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Optional, Set, Union

from pyspeed import records

SHIM = Path(__file__).resolve().parent.parent
PYTHON = os.environ.get("PYSPEED_TEST_PYTHON") or sys.executable
TIMEOUT = 30.0

Head = Dict[str, Any]


class Answer:
    """What came for one request."""

    def __init__(self, request_id: int, window: int) -> None:
        self.request_id = request_id
        self.status: Any = None
        self.headers: Any = None
        self.informational: List[Any] = []  # (status, headers) of answers in 100..199
        self.chunks: List[bytes] = []  # content of each record that had body
        self.kinds: List[int] = []  # record types in order
        self.ended = False
        self.last = False  # ended by RESPONSE with LAST
        self.app_status: Optional[int] = None  # of END_REQUEST
        self.credit = window  # that the worker has left
        self.overrun = 0  # body bytes beyond its credit
        self.input_credit = records.INPUT_WINDOW

    @property
    def body(self) -> bytes:
        """The whole body so far."""
        return b"".join(self.chunks)


class Worker:
    """One worker process and the gateway's ends of its sockets."""

    def __init__(
        self,
        target: str,
        directory: Union[str, Path] = "",
        python: str = PYTHON,
        shim: Union[str, Path] = SHIM,
        auto_credit: bool = True,
        ready: bool = True,
        arguments: Optional[List[str]] = None,
        env: Optional[Dict[str, str]] = None,
        command: str = "worker",
        **settings: Any,
    ) -> None:
        self.auto_credit = auto_credit
        self.reads = 0  # returns of recv that had data
        self.events: List[Dict[str, Any]] = []
        self.failure: Optional[BaseException] = None
        self.data_closed = False
        self._settings = {
            "cmd": "start",
            "target": target,
            "interface": "auto",
            "factory": False,
            "directory": str(directory),
            "threads": 0,
            "max_threads": 64,
            "lifespan": "auto",
            "root_path": "",
            "worker_id": "1",
            "server_name": "testserver",
            "server_port": "8000",
            "multiprocess": False,
            "software": "pyspeed/test",
            **settings,
        }
        self._changed = threading.Condition()
        self._answers: Dict[int, Answer] = {}
        self._free: Deque[int] = deque(range(1, 65536))
        self._sending = threading.Lock()
        self._status: Optional[int] = None
        self._python = python
        self._command = command
        self._arguments = ["-W", "error"] if arguments is None else arguments
        self._env = {**os.environ, "PYSPEED_WORKER_ID": "1", **(env or {})}
        self._start(str(shim), str(directory) or os.getcwd())
        self._threads = [threading.Thread(target=f, daemon=True) for f in (self._read_data, self._read_control)]
        for thread in self._threads:
            thread.start()
        self.command(self._settings)
        self.ready: Dict[str, Any] = {}
        if ready:
            self.ready = self.event("ready")

    def _start(self, shim: str, directory: str) -> None:
        self.data, data = socket.socketpair()
        self.control, control = socket.socketpair()
        with tempfile.TemporaryFile() as file:
            file.truncate(65536)
            self.marks = mmap.mmap(file.fileno(), 65536)
            self.output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
            self._launch([data.fileno(), control.fileno(), file.fileno()], shim, directory)
        data.close()
        control.close()

    def _launch(self, descriptors: List[int], shim: str, directory: str) -> None:
        """Start the process with its data socket, control socket and marks; sets ``pid``."""
        if shim == "zip":
            archive = zip_shim()
            path = "/proc/self/fd/6"
        else:
            archive = os.open(os.devnull, os.O_RDONLY)
            path = shim
        wanted = dict(zip((1, 2, 3, 4, 5, 6), (self.output.fileno(), self.output.fileno(), *descriptors, archive)))
        # Out of the way of the numbers that they are to get.
        high = {fd: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, 100) for fd, source in wanted.items()}
        actions: List[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, source, fd) for fd, source in high.items()]
        before = os.getcwd()
        try:
            os.chdir(directory)
            self.pid = os.posix_spawn(
                self._python,
                [self._python, *self._arguments, path, self._command],
                self._env,
                file_actions=actions,
            )
        finally:
            os.chdir(before)
            for source in high.values():
                os.close(source)
            os.close(archive)

    # Requests.

    def request(
        self,
        head: Optional[Head] = None,
        body: Optional[bytes] = b"",
        window: int = 6,
        split: int = 0,
    ) -> int:
        """Send one REQUEST; returns its id. ``body`` None: STDIN records follow. ``split``: records of that size."""
        with self._changed:
            request_id = self._free.popleft()
            self._answers[request_id] = Answer(request_id, 4096 << window)
            self.marks[request_id] = 0
        self.send(self.encode(request_id, head, body, window, split))
        return request_id

    def encode(
        self, request_id: int, head: Optional[Head], body: Optional[bytes] = b"", window: int = 6, split: int = 0
    ) -> bytes:
        """The REQUEST record(s)."""
        flags = window << 4 | (records.BODY if body is None else 0)
        content = marshal.dumps((environ() if head is None else head, body), 4)
        if not split:
            return b"".join(records.split(records.REQUEST, request_id, content, flags))
        pieces = [content[i : i + split] for i in range(0, len(content), split)]
        return b"".join(
            records.record(records.REQUEST, request_id, piece, flags | (0 if piece is pieces[-1] else records.MORE))
            for piece in pieces
        )

    def batch(self, heads: List[Head], window: int = 6) -> List[int]:
        """Send several REQUESTs in one write; returns their ids."""
        with self._changed:
            ids = [self._free.popleft() for _ in heads]
            for request_id in ids:
                self._answers[request_id] = Answer(request_id, 4096 << window)
                self.marks[request_id] = 0
        self.send(b"".join(self.encode(i, head, b"", window) for i, head in zip(ids, heads)))
        return ids

    def get(self, path: str = "/", **more: Any) -> Answer:
        """A whole WSGI request without a body."""
        return self.answer(self.request(environ(path, **more)))

    def send(self, data: bytes) -> None:
        """Send bytes on the data socket."""
        with self._sending:
            self.data.sendall(data)

    def stdin(self, request_id: int, data: bytes) -> None:
        """Send part of a body, as far as its window allows; waits for credit. Empty: that was all."""
        if not data:
            self.send(records.record(records.STDIN, request_id))
            return
        view = memoryview(data)
        while len(view):
            answer = self._answers[request_id]
            self.wait(lambda answer=answer: answer.input_credit > 0 or answer.ended, "credit for the body")  # type: ignore[misc]
            if answer.ended:
                return
            with self._changed:
                count = min(len(view), 65535, answer.input_credit)
                answer.input_credit -= count
            self.send(records.record(records.STDIN, request_id, view[:count]))
            view = view[count:]

    def abort(self, request_id: int) -> None:
        """Send ABORT_REQUEST."""
        self.send(records.record(records.ABORT_REQUEST, request_id))

    def credit(self, request_id: int, count: int) -> None:
        """Send WINDOW."""
        with self._changed:
            self._answers[request_id].credit += count
        self.send(records.window(request_id, count))

    def peek(self, request_id: int) -> Answer:
        """The answer as far as it came."""
        return self._answers[request_id]

    def answer(self, request_id: int, timeout: float = TIMEOUT) -> Answer:
        """Wait for the end of an answer."""
        answer = self._answers[request_id]
        self.wait(lambda: answer.ended, "the end of the answer to request %d" % request_id, timeout)
        return answer

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = TIMEOUT) -> None:
        """Wait until ``condition()``, which is looked at whenever something arrived."""
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                if self.failure is not None:
                    raise AssertionError("cannot wait for %s: %r" % (what, self.failure)) from self.failure
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError("waited in vain for %s; the worker wrote:\n%s" % (what, self.log()))
                self._changed.wait(left)

    def until(self, condition: Callable[[], bool], what: str, timeout: float = TIMEOUT) -> None:
        """Wait until ``condition()``, where nothing arrives that says so: it is looked at again and again."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("waited in vain for %s; the worker wrote:\n%s" % (what, self.log()))
            threading.Event().wait(0.003)

    # Control.

    def command(self, message: Dict[str, Any]) -> None:
        """Send a command."""
        self.control.sendall(b"".join(records.split(records.MESSAGE, 0, marshal.dumps(message, 2))))

    def event(self, name: str, timeout: float = TIMEOUT) -> Dict[str, Any]:
        """Wait for an event and take it."""
        self.wait(lambda: any(e["event"] == name for e in self.events), "the event %s" % name, timeout)
        with self._changed:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
        raise AssertionError

    def ask(self, command: str, answer: str, **fields: Any) -> Dict[str, Any]:
        """Send a command and wait for its answer."""
        self.command({"cmd": command, **fields})
        return self.event(answer)

    # The process.

    def log(self) -> str:
        """What the process wrote to stdout and stderr so far."""
        size = os.fstat(self.output.fileno()).st_size
        return os.pread(self.output.fileno(), size, 0).decode("utf-8", "replace")

    def wait_log(self, text: str, timeout: float = TIMEOUT) -> str:
        """Wait until the process has written ``text``."""
        self.until(lambda: text in self.log(), repr(text), timeout)
        return self.log()

    def join(self, timeout: float = TIMEOUT) -> int:
        """Wait for the process's end; returns its exit code, negative for a signal."""
        end = time.monotonic() + timeout
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise AssertionError("the worker did not end; it wrote:\n%s" % self.log())
            else:
                threading.Event().wait(0.005)
        return self._status

    def stop(self, **fields: int) -> int:
        """Ask it to stop; returns the exit code."""
        self.command({"cmd": "stop", **fields})
        return self.join()

    def kill(self) -> None:
        """End it without asking."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.join()

    def close(self) -> None:
        """End it and free everything."""
        self.kill()
        for sock in (self.data, self.control):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join()
        self.data.close()
        self.control.close()
        self.marks.close()
        self.output.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # On threads of their own.

    def _read_data(self) -> None:
        parser = records.Parser()
        joiner = records.Joiner()
        try:
            while True:
                try:
                    data = self.data.recv(262144)
                except OSError:
                    data = b""
                if not data:
                    break
                credits: List[bytes] = []
                with self._changed:
                    self.reads += 1
                    for kind, request_id, flags, content in parser.feed(data):
                        self._record(kind, request_id, flags, content, joiner, credits)
                    self._changed.notify_all()
                if credits:
                    try:
                        self.send(b"".join(credits))
                    except OSError:
                        pass  # the test has closed this direction
        except BaseException as error:
            self.failure = error
        with self._changed:
            self.data_closed = True
            self._changed.notify_all()

    def _record(
        self,
        kind: int,
        request_id: int,
        flags: int,
        content: bytes,
        joiner: records.Joiner,
        credits: List[bytes],
    ) -> None:
        if kind in (records.GET_VALUES_RESULT, records.UNKNOWN_TYPE):
            self.events.append({"event": "management", "kind": kind, "content": content})
            return
        answer = self._answers.get(request_id)
        if answer is None or answer.ended:
            raise AssertionError("record of type %d for request %d, which is not open" % (kind, request_id))
        answer.kinds.append(kind)
        body = b""
        if kind == records.RESPONSE:
            whole = joiner.add(request_id, flags, content)
            if whole is None:
                return
            source = io.BytesIO(whole)
            status, headers = marshal.load(source)
            body = source.read()
            if isinstance(status, int) and 100 <= status < 200:
                answer.informational.append((status, headers))
                assert not body
            else:
                if answer.status is not None:
                    raise AssertionError("two RESPONSEs for request %d" % request_id)
                answer.status, answer.headers = status, headers
            answer.last = bool(flags & records.LAST)
        elif kind == records.STDOUT:
            if answer.status is None:
                raise AssertionError("STDOUT before RESPONSE for request %d" % request_id)
            body = content
        elif kind == records.END_REQUEST:
            answer.app_status = records.parse_end_request(content)[0]
        elif kind == records.WINDOW:
            answer.input_credit += records.parse_window(content)
        elif kind != records.STDERR:
            raise AssertionError("a record of type %d from the worker" % kind)
        if body:
            answer.chunks.append(body)
            answer.credit -= len(body)
            if answer.credit < 0:
                answer.overrun = max(answer.overrun, -answer.credit)
            if self.auto_credit:
                answer.credit += len(body)
                credits.append(records.window(request_id, len(body)))
        if answer.last or kind == records.END_REQUEST:
            answer.ended = True
            # At the end of the line, so that what comes late for an id is not taken for another request's.
            self._free.append(request_id)

    def _read_control(self) -> None:
        parser = records.Parser()
        joiner = records.Joiner()
        try:
            while True:
                try:
                    data = self.control.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    return
                with self._changed:
                    for kind, request_id, flags, content in parser.feed(data):
                        assert kind == records.MESSAGE
                        whole = joiner.add(request_id, flags, content)
                        if whole is not None:
                            self.events.append(marshal.loads(whole))
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self.failure = error
                self._changed.notify_all()

    def release(self, ids: Set[int]) -> None:
        """The worker gave these back: they will have no answer."""
        with self._changed:
            for request_id in ids:
                self._answers[request_id].ended = True
                self._free.append(request_id)


def environ(path: str = "/", method: str = "GET", query: str = "", **more: str) -> Head:
    """What the gateway puts into the head of a WSGI request."""
    target = path + ("?" + query if query else "")
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "HTTP_HOST": "testserver",
        **more,
    }


def zip_shim() -> int:
    """A descriptor of the shim as the gateway packs it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - its descriptor outlives it
    with file, zipfile.ZipFile(file, "w") as archive:
        archive.write(SHIM / "__main__.py", "__main__.py")
        for path in sorted((SHIM / "pyspeed").glob("*.py")):
            archive.write(path, "pyspeed/" + path.name)
        archive.close()
        return os.dup(file.fileno())
