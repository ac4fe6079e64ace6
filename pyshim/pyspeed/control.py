"""The control socket: commands from the gateway, events to it.

In: MESSAGE records with one marshal dict each. Out: the same. A daemon thread of
its own reads, so that the worker answers while the application is busy; handlers
run on that thread and must not block. Any thread may send.
"""

from __future__ import annotations

import faulthandler
import marshal
import os
import select
import sys
from _socket import SHUT_RDWR

from . import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any, Callable, Dict, List, Optional

    Message = Dict[str, Any]
    Handler = Callable[[Message], None]

_INT_MOST = 0x7FFFFFFF

# What has this process replaced, for pyspeed.recycle(reason); None where nobody could. Set before the application
# is loaded.
recycler: Optional[Callable[[str], None]] = None


class StartFailed(Exception):
    """The worker cannot start. ``stage`` is import, interface, hook, lifespan or preload; ``trace``: a traceback."""

    def __init__(self, stage: str, error: str, trace: str = "") -> None:
        super().__init__(error)
        self.stage = stage
        self.error = error
        self.trace = trace


class Control:
    """One end of the control socket.

    >>> control.receive()                  # the first command, before the thread runs
    >>> control.on("stop", handler)        # handler(message), on the control thread
    >>> control.start()
    >>> control.send({"event": "pong"})    # any thread
    """

    def __init__(self, sock: socket) -> None:
        self._sock = sock
        self._sending = native("_thread", "allocate_lock")()
        self._parser = records.Parser()
        self._joiner = records.Joiner()
        self._received: List[Message] = []
        self._handlers: Dict[str, Handler] = {"dump": self._dump, "debugged": self._debugged}
        self._dump_hooks: List[Callable[[], None]] = []
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        self._over = native("_thread", "allocate_lock")()  # held while the thread runs
        self._recycled = native("_thread", "allocate_lock")()  # held once that was asked for
        self._resting = False
        self.exit_code = 0  # that a worker which has ended as asked exits with; the first `stop` that has one says it
        # Called on the control thread when the gateway is gone. A worker ends with it: every client is gone
        # too, and nothing is left to be finished.
        self.on_gone: Callable[[], None] = lambda: os._exit(1)

    def send(self, event: Message) -> None:
        """Send one event of str, int (clamped to 31 bits), bool and lists of such.

        A gateway that is gone is no error: the control thread ends the process for it.
        """
        parts = records.split(records.MESSAGE, 0, marshal.dumps({name: _plain(event[name]) for name in event}, 2))
        try:
            with self._sending:
                self._sock.sendall(b"".join(parts))
        except OSError:
            pass

    def recycle(self, reason: str) -> None:
        """Ask the gateway for another worker in this one's place; the first time only. Any thread."""
        if self._recycled.acquire(False):
            self.send({"event": "recycle", "reason": reason})

    def stage(self, name: str, what: str = "") -> None:
        """Tell which part of the start begins: import, hook, serve or lifespan; ``what``: a hook's name."""
        self.send({"event": "stage", "stage": name, "what": what})

    def receive(self) -> Message:
        """Wait for the next command. Raises EOFError when the gateway is gone."""
        while not self._received:
            data = self._read()
            if not data:
                raise EOFError("cannot read a command: the gateway is gone")
            self._feed(data)
        return self._received.pop(0)

    def on(self, command: str, handler: Handler) -> None:
        """Have ``handler(message)`` called on the control thread for each such command; replaces an earlier handler."""
        self._handlers[command] = handler

    def on_dump(self, hook: Callable[[], None]) -> None:
        """Have ``hook()`` called after a dump of all threads, mostly on the control thread; it writes to stderr."""
        self._dump_hooks.append(hook)

    def start(self) -> None:
        """Start the control thread."""
        poll: Any = native("select", "poll") if hasattr(select, "poll") else None
        wait: Any = native("select", "select")
        self._over.acquire()
        # Not a threading.Thread: that may be a greenlet; and gevent's patches, which an application may apply while it
        # is imported, are whole only where the module threading knows of one thread.
        native("_thread", "start_new_thread")(self._run, (poll, wait))

    def rest(self) -> None:
        """End the control thread and keep the socket: :meth:`receive` gives the commands again."""
        self._resting = True
        self._wake(b"r")
        with self._over:
            pass

    def close(self) -> None:
        """Leave the gateway: end the control thread and close the socket. ``on_gone`` is called too, if it returns."""
        try:
            self._sock.shutdown(SHUT_RDWR)
        except OSError:
            pass  # the gateway has closed its end, or a forked child has left the socket to its parent
        with self._over:
            pass
        self._sock.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def stop_from_signal(self) -> None:
        """Have the control thread handle a ``stop``; safe to call in a signal handler, as it takes no lock."""
        self._wake(b"s")

    def hide_from_debugger(self) -> None:
        """Have the control thread run on while an editor's debugger stops all threads. Any thread."""
        self._wake(b"h")

    def _wake(self, what: bytes) -> None:
        try:
            os.write(self._wake_writer, what)
        except OSError:
            pass

    def _read(self) -> bytes:
        return self._sock.recv(65536)

    def _feed(self, data: bytes) -> None:
        for kind, request_id, flags, content in self._parser.feed(data):
            if kind != records.MESSAGE:
                continue
            whole = self._joiner.add(request_id, flags, content)
            if whole is not None:
                message = marshal.loads(whole)
                if not isinstance(message, dict):
                    raise records.ProtocolError("cannot read a control message: %r is no dict" % type(message))
                self._received.append(message)

    def _run(self, new_poll: Any, wait: Any) -> None:
        hidden = False
        poll = new_poll() if new_poll is not None else None
        descriptors = (self._sock.fileno(), self._wake_reader)
        if poll is not None:
            for fd in descriptors:
                poll.register(fd, select.POLLIN)
        try:
            while True:
                for message in self._received:
                    self.handle(message)
                self._received.clear()
                ready = [fd for fd, _ in poll.poll()] if poll is not None else wait(descriptors, (), ())[0]
                if not hidden and "pydevd" in sys.modules:
                    # Not later: where all threads stand, the next function that this one calls stands too.
                    from .debugged import hide

                    hidden = True
                    hide()
                if self._wake_reader in ready:
                    if b"s" in os.read(self._wake_reader, 64):
                        self.handle({"cmd": "stop"})
                    if self._resting:
                        break
                if descriptors[0] in ready:
                    data = self._sock.recv(65536)
                    if not data:
                        break
                    self._feed(data)
        except OSError:
            pass
        except BaseException as error:
            os.write(2, ("pyspeed: the worker ends, as its control socket is unusable: %s\n" % error).encode())
        try:
            if not self._resting:
                self.on_gone()
        finally:
            self._over.release()

    def handle(self, message: Message) -> None:
        """Do what a command says, as if the gateway had sent it. On any thread."""
        command = message.get("cmd", "")
        if command == "stop":
            self.exit_code = self.exit_code or int(message.get("code", 0))
        handler = self._handlers.get(command)
        if handler is None:
            return
        try:
            handler(message)
        except Exception:
            sys.excepthook(*sys.exc_info())

    def write_stacks(self) -> None:
        """Write the stack of every thread and task to descriptor 2."""
        # faulthandler needs no lock and no memory, so it shows also a process that is stuck in one.
        faulthandler.dump_traceback(2, all_threads=True)
        for hook in list(self._dump_hooks):
            hook()

    def _dump(self, message: Message) -> None:
        self.write_stacks()
        self.send({"event": "dumped"})

    def _debugged(self, message: Message) -> None:
        from .debugged import debugged

        self.send({"event": "debugged", "on": debugged()})


def _plain(value: Any) -> Any:
    """The value within the marshal subset: no int over 31 bits, no str that is not UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-_INT_MOST, min(value, _INT_MOST))
    return value


def native(module: str, name: str) -> Any:
    """What the standard library's module itself has there, also where gevent has put another into its place."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(sys.modules[module], name)


def resident_kib() -> int:
    """This process's resident memory now, in KiB; where only the peak is known, the peak."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * (os.sysconf("SC_PAGE_SIZE") // 1024)
    except (OSError, ValueError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak
