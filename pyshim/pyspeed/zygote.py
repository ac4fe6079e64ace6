"""A process that imports the application once, and forks the workers (`workers.preload`).

In: the control socket, with the ``start`` message, then ``fork`` commands, each with the descriptors of one worker.
Out: ``ready`` or ``failed``, then ``forked`` with a process id for each. Runs on the main thread, the only one there
is once the import is through.

A worker is not the zygote's child but the gateway's, which waits for it as for one that it spawned itself: the
zygote forks a child, that child forks the worker and ends, and the worker falls to the gateway, which is a
*subreaper*. So nothing has to be told about a worker's end, and the zygote may die without harm. The child in between
is forked by the C library, behind Python's back: what was registered with ``os.register_at_fork`` runs
once, when the worker is forked.

After the import no code of the application runs here. It imports what serving needs too, so that all of it is shared.
"""

from __future__ import annotations

import gc
import os
import struct
import sys
import threading
import time
from _socket import CMSG_SPACE, SCM_RIGHTS, SO_ACCEPTCONN, SO_TYPE, SOCK_STREAM, SOL_SOCKET, socket

from . import worker
from .control import Control, StartFailed, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType, ModuleType
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from .control import Message
else:
    import _signal as signal

# What comes with `fork`, in this order: the worker's data and control sockets, its marks, its stdout and stderr.
_DESCRIPTORS = 5
_INTS = struct.Struct("=%di" % _DESCRIPTORS)
_PID = struct.Struct("=i")
_PR_SET_PDEATHSIG = 1
# Seconds that threads of the import which are about to end may take.
_PATIENCE = 1.0
_REMEDY = "start them in post_fork or post_worker_init, or set workers.preload to false"


def main(imported: Callable[[], None]) -> int:
    """Import, then fork workers until told to stop. Returns in workers only: the exit code."""
    gateway = os.getppid()
    sock = socket(fileno=worker.CONTROL)
    sock.setblocking(True)
    commands = _Commands(sock)
    os.register_at_fork(after_in_child=commands.leave)
    try:
        settings = commands.receive()
    except EOFError:
        return 1
    worker.answer_while_loading(settings, commands)
    commands.start()
    commands.stage("import")
    try:
        system = _System()
        preloaded = Preloaded(settings, system, gateway)
        _import_what_serves(preloaded, settings)
        imported()
        commands.rest()
        preloaded.keep_signals()
        refuse_threads(system.trial)
        gc.collect()
        refuse_loops()
    except StartFailed as failure:
        worker.end_failed(worker.report_failure(commands, failure))
    warn_of_connections()
    sys.stdout.flush()
    sys.stderr.flush()
    # What lives now lives for good: no collection of a worker has to write to it.
    gc.freeze()
    version = sys.version.partition(" ")[0]
    commands.send({"event": "ready", "interface": preloaded.interface, "threads": 0, "python": version})
    commands.fork_until_told(system)
    return worker.attend(_nothing, preloaded)


class Preloaded:
    """The application as the zygote has loaded it, for the workers."""

    def __init__(self, settings: Dict[str, Any], system: _System, gateway: int) -> None:
        self._system = system
        self._gateway = gateway
        self._signals: List[Tuple[int, Any]] = []
        self.module: Optional[ModuleType] = None
        self.app, self.interface = worker.load(settings, self._found)

    def _found(self, module: ModuleType) -> None:
        self.module = module

    def keep_signals(self) -> None:
        """Remember the handlers that the import has set where a worker has its own, and take all of them away here."""
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if handler is not worker.ignore and not isinstance(handler, worker.Stopper) and handler is not None:
                self._signals.append((number, handler))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, worker.ignore)

    def begin(self, with_module: Callable[[ModuleType], None]) -> Tuple[Any, str]:
        """In a worker, on its main thread, once it has its start message: the application and its interface."""
        for number, handler in self._signals:
            signal.signal(number, handler)
        # The parent is the gateway by now, as it sends the message when it has adopted the process.
        self._system.die_with_parent()
        if os.getppid() != self._gateway:
            os._exit(1)
        if self.module is not None:
            with_module(self.module)
        return self.app, self.interface


class _Commands(Control):
    """The zygote's control socket."""

    def __init__(self, sock: socket) -> None:
        super().__init__(sock)
        self._descriptors: List[int] = []
        self._forking = False  # in the process between, and in a worker

    def leave(self) -> None:
        """In a child that the application forks, while it is imported: the socket is not the child's."""
        # A worker keeps its number taken, as other hooks may open descriptors.
        if not self._forking:
            worker.leave_to_parent(self._sock)

    def _read(self) -> bytes:
        data, ancillary, _, _ = self._sock.recvmsg(65536, CMSG_SPACE(_INTS.size))
        for level, kind, content in ancillary:
            if level == SOL_SOCKET and kind == SCM_RIGHTS:
                self._descriptors += struct.unpack("=%di" % (len(content) // 4), content)
        return data

    def fork_until_told(self, system: _System) -> None:
        """Do what the gateway commands. Returns in forked workers only."""
        while True:
            try:
                message = self.receive()
            except (EOFError, OSError):
                os._exit(0)
            if message.get("cmd") != "fork":
                self.handle(message)
                continue
            descriptors, self._descriptors = self._descriptors[:_DESCRIPTORS], self._descriptors[_DESCRIPTORS:]
            if len(descriptors) < _DESCRIPTORS:
                self._forked(0, "its descriptors are missing")  # no more could be opened here
            elif self._fork(system, descriptors):
                self._become_worker(descriptors, message)
                system.show_as_worker()
                return
            for fd in descriptors:
                os.close(fd)

    def _forked(self, pid: int, error: str) -> None:
        self.send({"event": "forked", "pid": pid, "error": error})

    def _fork(self, system: _System, descriptors: List[int]) -> bool:
        """Fork a worker and tell the gateway its process id; True in the worker."""
        fork = native("os", "fork")
        reader = writer = -1
        try:
            reader, writer = os.pipe()
            between = system.fork()
        except OSError as error:
            if reader >= 0:
                os.close(reader)
                os.close(writer)
            self._forked(0, str(error))
            return False
        if between == 0:
            pid = -1
            self._forking = True
            try:
                pid = fork()
            except OSError as error:
                pid = -(error.errno or 1)
            finally:
                if pid != 0:
                    self._end_between(pid, writer)
            os.close(reader)
            os.close(writer)
            return True
        os.close(writer)
        try:
            answer = os.read(reader, _PID.size)
        finally:
            os.close(reader)
        try:
            native("os", "waitpid")(between, 0)
        except ChildProcessError:
            pass  # a handler of the application's for SIGCHLD was first
        # Now the worker is the gateway's child.
        pid = _PID.unpack(answer)[0] if len(answer) == _PID.size else -1
        if pid > 0:
            self._forked(pid, "")
        else:
            self._forked(0, os.strerror(-pid) if answer else "the process in between died")
        return False

    def _end_between(self, pid: int, writer: int) -> None:
        try:
            if pid > 0:
                os.setpgid(pid, pid)
            os.write(writer, _PID.pack(pid))
        finally:
            os._exit(0)

    def _become_worker(self, descriptors: List[int], message: Message) -> None:
        """Make of this forked process what a spawned worker is when its Python has started."""
        data, control, marks, out, err = descriptors
        os.setpgid(0, 0)
        self._sock.detach()
        self.close()
        os.dup2(out, 1)
        os.dup2(err, 2)
        for source, fd in ((data, worker.DATA), (control, worker.CONTROL), (marks, worker.MARKS)):
            os.dup2(source, fd, inheritable=False)
        for fd in descriptors:
            os.close(fd)
        os.environ["PYSPEED_WORKER_ID"] = message["slot"]
        if "gevent.hub" in sys.modules:
            # Not only where gevent has patched os.fork, whose business it is else.
            sys.modules["gevent"].reinit()


class _System:
    """What Python has no function for."""

    def __init__(self) -> None:
        try:
            import ctypes

            self._ctypes = ctypes
            self._libc = ctypes.PyDLL(None, use_errno=True)
            self._fork, self._prctl = self._libc.fork, self._libc.prctl
        except (ImportError, OSError, AttributeError, MemoryError) as error:
            raise StartFailed(
                "preload",
                "this Python's module ctypes does not work: %s; use another Python, or set workers.preload to false"
                % error,
            ) from None

    def fork(self) -> int:
        """``fork()`` of the C library, without what Python does before and after it."""
        pid: int = self._fork()
        if pid < 0:
            number = self._ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return pid

    def trial(self) -> None:
        """Fork a child that ends at once: libraries that end their threads before a fork, such as OpenBLAS, do that."""
        pid = self.fork()
        if pid == 0:
            os._exit(0)
        try:
            native("os", "waitpid")(pid, 0)
        except ChildProcessError:
            pass

    def die_with_parent(self) -> None:
        """Have the kernel kill this process when its parent dies."""
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def show_as_worker(self) -> None:
        """Have lists of processes show the command line of a worker, and not the zygote's."""
        try:
            with open("/proc/self/stat", "rb") as file:
                end = int(file.read().rpartition(b")")[2].split()[46])  # arg_end: behind the last argument
        except (OSError, ValueError, IndexError):
            return
        if end and self._ctypes.string_at(end - 7, 7) == b"zygote\0":
            self._ctypes.memmove(end - 7, b"worker", 6)


def _import_what_serves(preloaded: Preloaded, settings: Dict[str, Any]) -> None:
    """Import what :func:`pyspeed.worker.run` will, so that the workers share it."""
    if preloaded.module is not None:
        worker.hooks_of(preloaded.module, settings)
    if preloaded.interface == "wsgi":
        from . import wsgi  # noqa: F401

        if "gevent.monkey" in sys.modules:
            from . import greenlets  # noqa: F401
        return
    from . import asgi  # noqa: F401

    if preloaded.interface == "tornado":
        from . import tornado_worker  # noqa: F401
    try:
        import uvloop  # noqa: F401
    except ImportError:
        pass


def refuse_threads(trial: Callable[[], None]) -> None:
    """Raise StartFailed where the import has left threads. ``trial()`` forks, as some libraries then end theirs."""
    pause = 0.001
    end = time.monotonic() + _PATIENCE
    while _tasks() > 1:
        trial()
        if _tasks() == 1:
            return
        if time.monotonic() > end:
            raise StartFailed(
                "preload",
                "its import has left threads running, which forked workers would not have: %s; %s"
                % (", ".join(_threads()), _REMEDY),
            )
        time.sleep(pause)
        pause *= 2


def _tasks() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return len(sys._current_frames())


def _threads() -> List[str]:
    """The threads besides this one, described."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    me = threading.get_ident()
    found = []
    for ident, frame in sorted(sys._current_frames().items()):
        if ident != me:
            found.append("%s (%s)" % (names.get(ident, "one without a name"), _place(frame)))
    native_ones = _tasks() - 1 - len(found)
    if native_ones > 0:
        found.append("%d of an extension module" % native_ones)
    return found


def _place(frame: Optional[FrameType]) -> str:
    """What a thread runs: its outermost function that is not the module threading's."""
    place = "?"
    while frame is not None:
        if frame.f_globals.get("__name__") != "threading":
            place = "%s in %s" % (frame.f_code.co_name, frame.f_code.co_filename)
        frame = frame.f_back
    return place


def refuse_loops() -> None:
    """Raise StartFailed where the import has made an event loop that is still open: its descriptors would be shared."""
    events = sys.modules.get("asyncio.events")
    if events is None:
        return
    for found in gc.get_objects():
        # Not isinstance(), which asks proxies for what they stand for.
        if events.AbstractEventLoop in type(found).__mro__ and not found.is_closed():
            raise StartFailed(
                "preload",
                "its import has made an event loop (asyncio.get_event_loop(), tornado.ioloop.IOLoop.current() or the "
                "like), which forked workers cannot share; make it in post_worker_init or in the lifespan's startup, "
                "or set workers.preload to false",
            )


def warn_of_connections() -> None:
    """Name the connections that the import has opened on stderr: all workers would read and write the same ones."""
    found = []
    try:
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return
    for fd in descriptors:
        if fd > worker.SHIM:
            found += _connection(fd)
    if found:
        sys.stderr.write(
            "pyspeed: importing the application has opened connections, which all preloaded workers share: %s; open "
            "them at the first use, or close and open them again in the hook post_fork\n" % ", ".join(sorted(found))
        )


def _connection(fd: int) -> List[str]:
    """What the descriptor is connected to or listens on; nothing for anything else, unnamed pairs included."""
    try:
        if not os.readlink("/proc/self/fd/%d" % fd).startswith("socket:"):
            return []
        sock = socket(fileno=os.dup(fd))
    except OSError:
        return []
    try:
        if sock.getsockopt(SOL_SOCKET, SO_TYPE) != SOCK_STREAM:
            return []
        listens = sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN)
        name = sock.getsockname() if listens else sock.getpeername()
    except OSError:
        return []
    finally:
        sock.close()
    if isinstance(name, tuple):
        name = "%s:%s" % name[:2]
    elif isinstance(name, bytes):
        name = os.fsdecode(name)
    return [("listening on " if listens else "") + name] if name else []


def _nothing() -> None:
    """Do nothing."""
