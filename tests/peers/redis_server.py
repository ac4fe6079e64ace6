"""A real redis-server, and a proxy before it that can be held up."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from harness import processes
from harness.client import PATIENCE
from harness.waiting import eventually


class Redis:
    """Listens on a unix socket, and keeps nothing when it is stopped. Use it as a context manager, or ``stop`` it."""

    def __init__(self, *options: str, password: str = "") -> None:
        # Not pytest's folder, whose name may be too long for a socket.
        self._folder = tempfile.mkdtemp(prefix="redis")
        self.socket = f"{self._folder}/s"
        self._options: Sequence[str] = (*options, *(("--requirepass", password) if password else ()))
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        user = f":{self._password}@" if self._password else ""
        return f"unix://{user}{self.socket}"

    @property
    def log(self) -> str:
        path = Path(self._folder, "log")
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Redis:
        command = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no"]
        with open(f"{self._folder}/log", "ab") as log:
            self._process = subprocess.Popen(
                [*command, "--dir", self._folder, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=processes.die_with_parent,
            )
        process = self._process

        def answers() -> bool:
            assert process.poll() is None, f"redis-server exited with {process.returncode}:\n{self.log}"
            return self("PING") == "PONG"

        eventually(answers, "redis-server answers")
        return self

    def kill(self) -> None:
        """As a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE)
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Redis:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def __call__(self, *command: str) -> object:
        """What Redis answers to one command: text, a number, a list, or None."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(self.socket)
            with sock.makefile("rwb") as stream:
                for words in (["AUTH", self._password], list(command)) if self._password else (list(command),):
                    stream.write(b"*%d\r\n" % len(words))
                    stream.writelines(b"$%d\r\n%b\r\n" % (len(word.encode()), word.encode()) for word in words)
                    stream.flush()
                    answer = _read(stream)
        return answer

    def keys(self) -> list[str]:
        keys = self("KEYS", "*")
        assert isinstance(keys, list)
        return sorted(keys)


def _read(stream: object) -> object:
    line = stream.readline().rstrip(b"\r\n")  # type: ignore[attr-defined]
    kind, rest = line[:1], line[1:].decode()
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    if kind == b"$":
        if rest == "-1":
            return None
        return stream.read(int(rest) + 2)[:-2].decode("utf-8", "replace")  # type: ignore[attr-defined]
    if kind == b"*":
        return [_read(stream) for _ in range(int(rest))]
    raise AssertionError(f"Redis answers {line!r}")


class Proxy:
    """Passes on, over TCP, to a Redis; what that answers only while it is not held. Use it as a context manager."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def hold(self) -> None:
        """From now on Redis answers nothing."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def __enter__(self) -> Proxy:
        self._spawn(self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.set()
        for sock in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            self._sockets += [client, server]
            try:
                server.connect(self._redis.socket)
            except OSError:
                client.close()
                continue
            self._spawn(self._carry, client, server, False)
            self._spawn(self._carry, server, client, True)

    def _carry(self, source: socket.socket, target: socket.socket, slow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if slow:
                    self._open.wait()
                target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
