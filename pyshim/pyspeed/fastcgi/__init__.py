"""``python -m pyspeed --fastcgi``: the shim alone, as a FastCGI 1.0 responder behind any web server.

In: command-line arguments. Out: an exit code. The calling thread, which is to be the main one, loads the
application and runs it as a gateway's worker does (:mod:`pyspeed.worker`); a thread of its own, the front
(:mod:`pyspeed.fastcgi.server`), speaks FastCGI with the web servers and ``pyspeed/1`` with the worker's code.

What the front needs is imported here, before the application, which may patch the standard library.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
from _socket import socketpair
from mmap import mmap

from .. import __version__, loader, worker
from .. import control as controls
from ..control import StartFailed
from ..tracebacks import summary, trimmed
from . import options as table
from .listener import LISTENSOCK, CannotListen, is_listening, listen, web_server_addresses
from .request import Limits
from .server import Front

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Dict, List

    from ..control import Message
    from ..hooks import Hooks
    from .listener import Listener

EXIT_CONFIGURATION = 1


def main(arguments: List[str]) -> int:
    """Serve what ``arguments`` name until told to stop; returns the exit code. On the main thread."""
    try:
        options = table.parse(arguments)
        if options.get("help"):
            sys.stdout.write(table.usage())
            return worker.EXIT_OK
        address = options["address"]
        if not address:
            if not is_listening(LISTENSOCK):
                raise table.UsageError(
                    "the address is missing, and descriptor 0 is no listening socket; "
                    "write it before the application, as in unix:/run/app.sock, 127.0.0.1:9000 or fd:0"
                )
            address = "fd:%d" % LISTENSOCK
        directory = os.path.abspath(options["app_dir"])
        if not os.path.isdir(directory):
            raise table.UsageError("--app-dir: there is no directory %s" % directory)
        if options["umask"] is not None:
            os.umask(options["umask"])
        listener = listen(address, options["backlog"], options["socket_mode"])
    except (table.UsageError, CannotListen) as error:
        sys.stderr.write("pyspeed: %s\n" % error)
        return EXIT_CONFIGURATION
    listener.allowed = web_server_addresses(os.environ.get("FCGI_WEB_SERVER_ADDRS", ""))
    if listener.open_to_all:
        sys.stderr.write(
            "pyspeed: every host that reaches %s can use it; name the web servers in FCGI_WEB_SERVER_ADDRS, "
            "or listen on 127.0.0.1 or a Unix socket\n" % listener.name
        )
    code = worker.EXIT_START
    try:
        code = _Responder(options, listener, directory).run()
    finally:
        # Threads that the application started and forgot must not keep the process: every answer has left.
        _end(listener, code)
    return code


class LocalControl:
    """What the worker's code takes for the control socket, where the one that controls is in the same process."""

    def __init__(self) -> None:
        self._handlers: Dict[str, Callable[[Message], None]] = {}

    def on(self, command: str, handler: Callable[[Message], None]) -> None:
        """Have ``handler(message)`` called for each such command."""
        self._handlers[command] = handler

    def on_dump(self, hook: Callable[[], None]) -> None:
        """Nobody asks for stacks here."""

    def send(self, event: Message) -> None:
        """Nobody waits for events here: what matters of them is told by calls."""

    def stage(self, name: str, what: str = "") -> None:
        """Nobody limits the time of a start here."""

    def hide_from_debugger(self) -> None:
        """There is no control thread."""

    def tell(self, command: str) -> bool:
        """Give a command; False when there is none of that name. Any thread; does not wait."""
        handler = self._handlers.get(command)
        if handler is None:
            return False
        handler({"cmd": command})
        return True


class _Responder:
    """One application, its listening socket and its front."""

    def __init__(self, options: Dict[str, Any], listener: Listener, directory: str) -> None:
        self._options = options
        self._listener = listener
        self._directory = directory
        self._control = LocalControl()
        self._front: Front | None = None
        self._pid = os.getpid()
        self._recycled = _thread.allocate_lock()  # held once that was asked for
        self._to_stop = False  # it was asked for before there was a front

    def run(self) -> int:
        options = self._options
        signal.signal(signal.SIGTERM, self._signalled)
        signal.signal(signal.SIGINT, self._signalled)
        # Before the front's, which lets the child's signals in.
        os.register_at_fork(after_in_child=self._leave_to_parent)
        controls.recycler = self._recycle
        target = options["target"]
        sys.argv = [target]
        settings = {
            "target": target,
            "threads": options["threads"],
            "max_threads": 64,
            "lifespan": options["lifespan"],
            "root_path": options["root_path"],
            "server_name": "localhost",
            "server_port": "80",
            # The web server may be given several such processes, and does not say so.
            "multiprocess": True,
            "software": "pyspeed/" + __version__,
            "errors": "records",
        }
        hooks: Hooks | None = None

        def with_hooks(module: ModuleType) -> None:
            nonlocal hooks
            hooks = worker.hooks_of(module, settings)
            if hooks is not None:
                hooks.post_fork()

        try:
            try:
                loader.arrange_path(self._directory)
                app = loader.load(target, options["factory"], options["interface"], with_hooks)
                interface = loader.interface(app, options["interface"], target)
            except StartFailed:
                raise
            except BaseException as error:
                # SystemExit too: a module that calls sys.exit() has not been imported.
                raise StartFailed("import", summary(error), trimmed(error)) from None
            return self._serve(app, interface, settings, hooks)
        except StartFailed as failure:
            sys.stderr.write("%spyspeed: cannot start: %s\n" % (failure.trace and failure.trace + "\n", failure.error))
            return worker.EXIT_IMPORT if failure.stage == "import" else worker.EXIT_START

    def _serve(self, app: Any, interface: str, settings: Dict[str, Any], hooks: Hooks | None) -> int:
        options = self._options
        ours, theirs = socketpair()
        limits = Limits(interface, options["root_path"], options["max_body"], options["buffer_body"])
        front = Front(
            self._listener,
            ours,
            limits,
            options["graceful_timeout"],
            _most(),
            self._stop_application,
            lambda: _end(self._listener, worker.EXIT_OK if front.asked or front.recycled else EXIT_CONFIGURATION),
        )

        def serving() -> None:
            sys.stderr.write(
                "pyspeed: %s (%s) is served on %s, FastCGI\n" % (options["target"], interface, self._listener.name)
            )
            signal.set_wakeup_fd(front.wake_fd, warn_on_full_buffer=False)
            self._front = front
            front.start()
            if self._to_stop:
                front.recycle()

        control: Any = self._control
        marks = mmap(-1, worker.MARKS_LENGTH)
        code = worker.run(app, interface, settings, theirs, marks, control, serving=serving, hooks=hooks)
        theirs.close()
        front.close()
        return code

    def _stop_application(self, again: bool) -> None:
        """On the front's thread."""
        if not (again and self._control.tell("abandon")):
            self._control.tell("stop")

    def _recycle(self, reason: str) -> None:
        """End in order: whoever manages this process starts it anew. Any thread."""
        if self._recycled.acquire(False):
            sys.stderr.write(
                "pyspeed: stopping, as the application asked to be recycled%s\n"
                % (reason and ": " + ascii(reason)[1:-1])
            )
            self._to_stop = True
            if self._front is not None:
                self._front.recycle()

    def _leave_to_parent(self) -> None:
        """In a child that the application forked: a handler of Python would not run while it waits in a system call
        that it entered just after the signal came."""
        controls.recycler = None
        for signum in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(signum) == self._signalled:
                signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)

    def _signalled(self, signum: int, frame: object) -> None:
        if os.getpid() != self._pid:
            # A forked child that has not come to _leave_to_parent yet: the parent is not who was meant.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        if self._front is None:
            # Nothing is served yet, and the application may be inside its import for long.
            _end(self._listener, worker.EXIT_OK)
        else:
            self._front.stop()


def _most() -> int:
    """Connections that there may be at once: half of the descriptors, the others are the application's."""
    try:
        import resource

        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except (ImportError, OSError):
        soft = 256
    return max(16, min(4096, soft // 2 if soft > 0 else 4096))


def _end(listener: Listener, code: int) -> None:
    """End the process, whatever else still runs in it."""
    listener.unlink()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more
    os._exit(code)
