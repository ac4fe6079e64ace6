"""Bootstrap of a worker process: from its inherited descriptors to a served application.

In: descriptors 3 to 6 and the ``start`` message. Out: ``ready`` or ``failed``, then an
exit code. Runs on the main thread, which goes on as the first serving thread (WSGI) or
the thread of the event loop (ASGI, Tornado).
"""

from __future__ import annotations

import faulthandler
import io
import os
import sys
import threading
from _socket import socket
from mmap import mmap

from . import control as controls
from . import loader
from .control import Control, StartFailed, resident_kib
from .tracebacks import summary, trimmed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import ModuleType
    from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple

    from .control import Message
    from .hooks import Hooks
    from .zygote import Preloaded
else:
    import _signal as signal

DATA, CONTROL, MARKS, SHIM = 3, 4, 5, 6
MARKS_LENGTH = 65536

EXIT_OK = 0
EXIT_START = 3
EXIT_IMPORT = 4

_HOOKS = frozenset(("post_fork", "post_worker_init", "worker_exit"))


def main(arguments: List[str], imported: Callable[[], None] = lambda: None) -> int:
    """Run ``worker`` or ``zygote``; returns the exit code.

    ``imported()`` is called when no more of the package will be imported.
    """
    if arguments not in (["worker"], ["zygote"]):
        sys.stderr.write(
            "pyspeed: cannot start: %r is no command; workers are started by pyspeed-gw\n" % " ".join(arguments)
        )
        return 2
    for fd in (DATA, CONTROL, MARKS, SHIM):
        # What the application starts must not keep the sockets open when the worker dies.
        try:
            os.set_inheritable(fd, False)
        except OSError as error:
            if fd == SHIM:
                continue  # a shim that was started from a path
            sys.stderr.write(
                "pyspeed: cannot start: descriptor %d: %s; workers are started by pyspeed-gw\n" % (fd, error)
            )
            return EXIT_START
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    # Where the interpreter crashes, its stack goes to the log.
    faulthandler.enable()
    if arguments == ["zygote"]:
        from . import zygote

        return zygote.main(imported)
    return attend(imported)


def attend(imported: Callable[[], None], preloaded: Optional[Preloaded] = None) -> int:
    """Take the descriptors and the start message, and serve; returns the exit code."""
    data, commands = socket(fileno=DATA), socket(fileno=CONTROL)
    for sock in (data, commands):
        # Whether a descriptor blocks is its creator's choice; Python would not find out.
        sock.setblocking(True)
    marks = mmap(MARKS, MARKS_LENGTH)
    os.close(MARKS)
    control = Control(commands)
    controls.recycler = control.recycle
    os.register_at_fork(after_in_child=lambda: leave_to_parent(data, commands))
    try:
        settings = control.receive()
        if settings.get("cmd") == "prepare":
            from . import spare

            spare.prepare(settings, control, imported)
            settings = control.receive()
    except EOFError:
        os._exit(1)  # nothing has been served: what is to run at the worker's end need not
    code = serve(settings, data, marks, control, imported, preloaded)
    if code in (EXIT_START, EXIT_IMPORT):
        end_failed(code)
    return code or control.exit_code


def end_failed(code: int) -> NoReturn:
    """End the process: what the application started before it failed, such as threads, must not keep it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve(
    settings: Dict[str, Any],
    data: socket,
    marks: mmap,
    control: Control,
    imported: Callable[[], None],
    preloaded: Optional[Preloaded] = None,
) -> int:
    """Load what ``settings`` (the start message) names and serve it until told to stop; returns the exit code.

    ``preloaded`` is the application where this process was forked with it.
    """
    answer_while_loading(settings, control)
    if settings.get("terminal"):
        from . import terminal

        terminal.offer(control, settings["terminal"])
    control.start()
    hooks: Optional[Hooks] = None

    def with_hooks(module: ModuleType) -> None:
        nonlocal hooks
        hooks = hooks_of(module, settings)
        if hooks is not None:
            control.stage("hook", "post_fork")
            hooks.post_fork()
            control.stage("import")

    control.stage("import")
    try:
        if preloaded is None:
            app, interface = load(settings, with_hooks)
        else:
            app, interface = preloaded.begin(with_hooks)
        control.stage("serve")
    except StartFailed as failure:
        return report_failure(control, failure)
    if "tornado.autoreload" in sys.modules and interface == "tornado":
        from .tornado_worker import end_for_reload

        sys.modules["tornado.autoreload"].add_reload_hook(end_for_reload)
    try:
        return run(app, interface, settings, data, marks, control, imported, hooks=hooks)
    except StartFailed as failure:
        return report_failure(control, failure)


def answer_while_loading(settings: Dict[str, Any], control: Control) -> None:
    """Have signals and commands mean what they do while the application is being loaded."""
    sys.argv = [settings["target"]]
    # A terminal's Ctrl-C reaches the whole group; what it means is for the gateway to decide. A handler, as
    # SIG_IGN would be inherited by the programs that the application starts.
    signal.signal(signal.SIGINT, ignore)
    signal.signal(signal.SIGTERM, Stopper(control))
    control.on("stop", _stop_before_ready)
    answer_before_ready(control)
    main_thread = threading.get_ident()
    control.on_dump(lambda: loader.name_running_loop(main_thread))


def load(settings: Dict[str, Any], with_module: Callable[[ModuleType], None]) -> Tuple[Any, str]:
    """The application that ``settings`` names, and its interface. Raises StartFailed.

    ``with_module`` is called with its module, before any factory.
    """
    target = settings["target"]
    try:
        loader.arrange_path(settings.get("directory", ""))
        if settings.get("model") == "gevent":
            from . import greenlets

            greenlets.patch(settings.get("interface", "auto"))
        if settings.get("accelerate"):
            from . import accelerate

            accelerate.begin()
        if settings.get("reload"):
            from . import development

            development.begin(settings)
        wanted = settings.get("interface", "auto")
        app = loader.load(target, bool(settings.get("factory")), wanted, with_module)
        return app, loader.interface(app, wanted, target)
    except StartFailed:
        raise
    except BaseException as error:
        # SystemExit too: a module that calls sys.exit() has not been imported.
        raise StartFailed("import", summary(error), trimmed(error)) from None


def hooks_of(module: ModuleType, settings: Dict[str, Any]) -> Optional[Hooks]:
    """The lifecycle hooks of the application's module, where it has any."""
    if _HOOKS.isdisjoint(vars(module)):
        return None
    from .hooks import Hooks

    return Hooks(module, settings)


def answer_before_ready(control: Control) -> None:
    """Have ``control`` answer what the gateway may ask while nothing is served yet."""
    control.on("ping", lambda message: control.send({"event": "pong", "n": message.get("n", 0), "loop_ms": 0}))
    control.on(
        "stats", lambda _: control.send({"event": "stats", "active": 0, "threads": 0, "rss_kib": resident_kib()})
    )
    control.on("reclaim", lambda _: control.send({"event": "reclaimed", "ids": []}))


def run(
    app: Any,
    interface: str,
    settings: Dict[str, Any],
    data: socket,
    marks: mmap,
    control: Control,
    imported: Callable[[], None] = lambda: None,
    serving: Callable[[], None] = lambda: None,
    hooks: Optional[Hooks] = None,
) -> int:
    """Serve ``app`` on the calling thread until told to stop; returns the exit code.

    ``serving()`` is called there too, just before the gateway hears that all is ready. Raises StartFailed where the
    application cannot be served.
    """

    def ready(fields: Dict[str, Any]) -> None:
        event: Message = {
            "event": "ready",
            "interface": interface,
            "threads": 0,
            "python": sys.version.partition(" ")[0],
            "loop": "",
            "lifespan": "",
        }
        event.update(fields)
        if settings.get("reload"):
            from . import development

            event["modules"] = development.reusable()
        if settings.get("accelerate"):
            from . import accelerate

            event.update(accelerate.report())
        if settings.get("static"):
            from . import static_folders

            event.update(static_folders.report(app, settings.get("root_path", "")))
        serving()
        if "pydevd" in sys.modules:
            control.hide_from_debugger()
        control.send(event)

    if "gevent.monkey" in sys.modules or "eventlet.patcher" in sys.modules:
        from . import greenlets

        on_greenlets = greenlets.wanted(interface, settings.get("model") == "gevent")
    else:
        on_greenlets = False
    if interface == "asgi":
        from . import asgi

        imported()
        return asgi.run(app, settings, data, marks, control, ready, hooks=hooks)
    if interface == "tornado":
        from . import asgi
        from .tornado_worker import TornadoConnection

        imported()
        settings = dict(settings, lifespan="off")
        return asgi.run(app, settings, data, marks, control, ready, TornadoConnection, hooks)
    if "engineio" in sys.modules:
        from . import socketio_mode

        socketio_mode.check(app, on_greenlets)
    if on_greenlets:
        serve_wsgi = greenlets.run
    else:
        from . import wsgi

        serve_wsgi = wsgi.run
    imported()
    if hooks is None:
        return serve_wsgi(app, settings, data, marks, control, ready)
    control.stage("hook", "post_worker_init")
    hooks.post_worker_init(app)
    try:
        return serve_wsgi(app, settings, data, marks, control, ready)
    finally:
        hooks.worker_exit()


def report_failure(control: Control, failure: StartFailed) -> int:
    """Send ``failed``; returns the exit code that goes with its stage."""
    control.send(
        {"event": "failed", "stage": failure.stage, "error": failure.error, "traceback": failure.trace or failure.error}
    )
    return EXIT_IMPORT if failure.stage == "import" else EXIT_START


def _stop_before_ready(message: Message) -> None:
    # Nothing has been served, and the main thread may be inside the application's import for long.
    os._exit(message.get("code", EXIT_OK))


class Stopper:
    """SIGTERM's handler: a graceful stop."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._pid = os.getpid()

    def __call__(self, signum: int, frame: object) -> None:
        if os.getpid() == self._pid:
            self._control.stop_from_signal()
        else:
            # A forked child that has not come to leave_to_parent yet: the parent is not who was meant.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)


def ignore(signum: int, frame: object) -> None:
    """Do nothing."""


def leave_to_parent(*sockets: socket) -> None:
    """In a child that the application forked: the sockets and what signals mean here are the parent's alone.

    With the sockets the child would hide the parent's death from the gateway, and could answer its requests.
    """
    controls.recycler = None
    for sock in sockets:
        if sock.fileno() >= 0:  # else it was a parent's parent's
            os.close(sock.detach())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
