"""Starts the gateway as a child of this process, and sees it to its end.

In: command-line arguments for ``pyspeed-gw``. Out: a :class:`Gateway`: where it listens, why it ended. With
``attached`` this process is its worker, and :class:`Ends` holds this side of their sockets.

A thread of its own reads what the gateway tells over the *tether*, a socket whose end tells each side that the other
is gone, and reaps the process. Everything else runs on the caller's thread.
"""

from __future__ import annotations

import _socket
import json
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import threading
import weakref

from . import binary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Sequence

MARKS_LENGTH = 65536

_JOIN = 5.0  # seconds that a gateway may take to exit once it has let go of the tether


class GatewayError(RuntimeError):
    """The gateway could not be started, or ended by itself. ``exit_code`` is its exit status, negative for a signal."""

    def __init__(self, message: str, exit_code: Optional[int] = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Ends:
    """This side of an attached worker: the data and control sockets, and the start marks."""

    def __init__(self, data: _socket.socket, control: _socket.socket, marks: mmap.mmap) -> None:
        self.data = data
        self.control = control
        self.marks = marks

    def close(self) -> None:
        """Leave the gateway; it takes that for the end of the worker."""
        self.data.close()
        self.control.close()
        try:
            self.marks.close()
        except BufferError:
            pass  # somebody still looks at it; it goes with the last of them


class Gateway:
    """A gateway that runs as a child of this process.

    ``listening`` is set when clients can connect, ``ended`` when the process is gone and was reaped; both are set
    for good. ``on_listening(addresses)`` is called before, on the thread that reads the tether; it must not block.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        attached: bool,
        keep: Sequence[int] = (),
        on_listening: Callable[[List[str]], None] = lambda addresses: None,
    ) -> None:
        """Start it; ``keep`` are descriptors that it inherits as they are. Raises GatewayError."""
        self.listening = threading.Event()
        self.ended = threading.Event()
        self.changed = threading.Condition()  # notified with either
        self.addresses: List[str] = []
        self.ends: Optional[Ends] = None
        self.asked = False  # it was told to stop
        self._on_listening = on_listening
        self._failure: Optional[str] = None
        self._pid = os.getpid()
        try:
            program = binary.find()
        except binary.NotFound as error:
            raise GatewayError(str(error)) from None
        said = {"pid": self._pid}
        marks_file = None
        self._tether, other = socket.socketpair()
        self._tether.settimeout(None)  # whatever socket.setdefaulttimeout() says
        theirs: List[_socket.socket] = [other]  # the gateway's ends
        said["tether"] = other.fileno()
        try:
            if attached:
                # As a spawned worker has them: of the C module, whose methods no library patches.
                data, their_data = _socket.socketpair()
                control, their_control = _socket.socketpair()
                theirs += [their_data, their_control]
                for sock in (data, control):
                    sock.setblocking(True)
                marks_file = tempfile.TemporaryFile(prefix="pyspeed-marks-")  # noqa: SIM115 - closed below
                marks_file.truncate(MARKS_LENGTH)
                self.ends = Ends(data, control, mmap.mmap(marks_file.fileno(), MARKS_LENGTH))
                said.update(data=their_data.fileno(), control=their_control.fileno(), marks=marks_file.fileno())
            inherited = [sock.fileno() for sock in theirs] + ([marks_file.fileno()] if marks_file else [])
            options: Dict[str, Any] = {}
            if sys.version_info >= (3, 11):
                options["process_group"] = 0  # before the program runs; for older versions it does so itself
            _open.add(self)
            self._process = subprocess.Popen(
                [program, *arguments],
                env=binary.environment(os.environ, said),
                stdin=subprocess.DEVNULL,
                pass_fds=[*inherited, *keep],
                **options,
            )
        except BaseException as error:
            self._close()
            if self.ends is not None:
                self.ends.close()
            if not isinstance(error, OSError):
                raise
            raise GatewayError("cannot start the gateway: %s: %s" % (program, error.strerror or error)) from error
        finally:
            for sock in theirs:
                sock.close()
            if marks_file is not None:
                marks_file.close()
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name="pyspeed-gateway", daemon=True)
        self._reader.start()

    def signal(self, number: int) -> None:
        """Send a signal, unless the process is gone. Safe to call in a signal handler: it takes no lock."""
        self.asked = True
        if not self.ended.is_set() and os.getpid() == self._pid:
            self._process.send_signal(number)

    def failure(self) -> Optional[GatewayError]:
        """Why it ended, once it has: None when that was in order."""
        code = self._process.returncode
        if self._failure is not None:
            return GatewayError(self._failure, code)
        if code == 0:
            return None
        if code is not None and code < 0:
            return GatewayError("the gateway (pid %d) was killed by signal %d" % (self.pid, -code), code)
        return GatewayError("the gateway (pid %d) ended with exit code %s; it has said why" % (self.pid, code), code)

    def wait(self) -> None:
        """Wait until the process is gone and reaped. Not in a signal handler."""
        self._reader.join()

    def kill(self) -> None:
        """End it at once, and wait until its addresses are free. Not in a signal handler."""
        self.asked = True
        self._process.kill()
        self._reader.join()

    def _read(self) -> None:
        try:
            with self._tether.makefile("r", encoding="utf-8") as lines:
                for line in lines:
                    self._told(json.loads(line))
        except (OSError, ValueError):
            pass  # cut off in the middle of a line
        try:
            self._process.wait(_JOIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()
        self.ended.set()
        with self.changed:
            self.changed.notify_all()

    def _told(self, event: Dict[str, Any]) -> None:
        if event["event"] == "listening":
            self.addresses = event["addresses"]
            self._on_listening(self.addresses)
            self.listening.set()
            with self.changed:
                self.changed.notify_all()
        elif event["event"] == "failed":
            self._failure = event["error"]

    def _close(self) -> None:
        self._tether.close()
        _open.discard(self)

    def leave_to_parent(self) -> None:
        """In a forked child: with the sockets it would hide the parent's death, and could answer its requests.

        The gateway's ends stay: the child may be about to become the gateway (gevent's Popen forks by itself).
        """
        if self._tether.fileno() >= 0:
            os.close(self._tether.detach())  # close() would wait for the file that reads it
        if self.ends is not None:
            self.ends.data.close()
            self.ends.control.close()


# What a forked child has to let go of. A fork hook cannot be taken back, so there is one for all.
_open: weakref.WeakSet[Gateway] = weakref.WeakSet()


def _after_fork() -> None:
    for gateway in list(_open):
        gateway.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
