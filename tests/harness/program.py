"""A Python program on a terminal of its own: what ``run_app`` is used in."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from pathlib import Path

from . import processes
from .client import PATIENCE, Address
from .server import REPOSITORY, Log, binary, clean_environment

_BANNER = re.compile(rb"PySpeed on ((?:http://|unix:)[^\s,]+)")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """For programs that import the package of this checkout; ``more`` wins."""
    return {
        **clean_environment(),
        "PYTHONPATH": str(REPOSITORY / "pyshim"),
        "PYSPEED_GW": str(binary()),
        "PYTHON_COLORS": "0",
        **(more or {}),
    }


class _Terminal:
    """The reading side of a terminal, as a stream: its end is an error there."""

    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "rb", buffering=0)
        self._rest = b""

    def readline(self) -> bytes:
        """A line, or a prompt: what has arrived and ends with ") "."""
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if end:
                self._rest = rest
                return line + end
            if line.endswith(b") "):
                self._rest = b""
                return line
            try:
                more = self._file.read(4096)
            except OSError:
                more = b""  # Linux: nobody has the other side open
            if not more:
                self._rest = b""
                return line
            self._rest += more

    def close(self) -> None:
        self._file.close()


class Program:
    """A running program. The terminal is its stdin, stdout and stderr; ``stop`` must be called."""

    def __init__(self, *command: str, directory: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = Log()
        self._terminal, theirs = pty.openpty()

        def become_foreground() -> None:
            processes.die_with_parent()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        try:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", *command],
                cwd=directory,
                env=environment(env),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
                preexec_fn=become_foreground,
            )
        finally:
            os.close(theirs)
        self._collector = threading.Thread(
            target=self.log.collect, args=(_Terminal(os.dup(self._terminal)),), daemon=True
        )
        self._collector.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def address(self, count: int = 1) -> Address:
        """Where it says that it listens, the count-th time."""
        return Address.parse(self.log.wait_for(_BANNER, count=count)[-1][1].decode())

    def gateway(self) -> int:
        """The gateway's process id."""
        children = [pid for pid in processes.children(self.pid) if b"pyspeed-gw" in _command(pid)]
        assert len(children) == 1, f"gateways: {children}\n{self.log}"
        return children[0]

    def type(self, text: str) -> None:
        """As at the keyboard; "\\x03" is Ctrl-C."""
        os.write(self._terminal, text.encode())

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_exit(self) -> int:
        """Waits for its exit, and that of all output; returns the exit code."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {PATIENCE:g} s:\n{self.log}") from None
        self._collector.join(PATIENCE)
        return code

    def stop(self) -> None:
        """Kills what is left of it; to be called in any case."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._collector.join(PATIENCE)
        os.close(self._terminal)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
