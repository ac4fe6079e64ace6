"""The attached worker: this very process serves an application of its own for a gateway that it started.

In: an application, or its name, and a :class:`~pyspeed.launch.Gateway`. :func:`serve` runs on the calling thread
until the gateway is told to stop, or is gone. Unlike a spawned worker (:mod:`pyspeed.worker`, whose serving it shares)
it changes nothing that belongs to the process: no descriptors, streams, sys.argv, signals or exit.
"""

from __future__ import annotations

import os
import sys
import threading

from . import loader, worker
from .control import Control, StartFailed
from .launch import GatewayError
from .tracebacks import summary, trimmed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Dict, Optional, Tuple

    from .hooks import Hooks
    from .keywords import Plan
    from .launch import Gateway


def serve(plan: Plan, gateway: Gateway, serving: Callable[[], None] = lambda: None) -> None:
    """Serve what ``plan`` names; returns when the gateway has ended in order.

    ``serving()`` is called on this thread once the application is loaded, before its startup code (lifespan).
    Raises GatewayError when the gateway could not start or died, StartFailed when the application cannot
    be served, and what its import raises. The gateway is gone in any case.
    """
    ends = gateway.ends
    assert ends is not None, "the gateway was started without attached=True"
    control = Control(ends.control)
    try:
        try:
            settings = control.receive()
        except (EOFError, OSError):
            pass  # it did not come that far, and says why
        else:
            _serve(plan, settings, gateway, control, serving)
    finally:
        if "pyspeed.accelerate" in sys.modules:
            sys.modules["pyspeed.accelerate"].end()
        control.on_gone = _nothing
        control.close()
        ends.close()
        gateway.wait()
    failure = gateway.failure()
    if failure is not None:
        raise failure


def _serve(
    plan: Plan, settings: Dict[str, Any], gateway: Gateway, control: Control, serving: Callable[[], None]
) -> None:
    ends = gateway.ends
    assert ends is not None
    settings["attached"] = True
    stopped = threading.Event()  # told so before there was anything to stop
    control.on("stop", lambda message: stopped.set())
    worker.answer_before_ready(control)

    def gone() -> None:
        # The gateway is gone, and with it every client: nobody waits for what still runs.
        stopped.set()
        for command in ("stop", "stop", "abandon"):
            control.handle({"cmd": command})

    control.on_gone = gone
    control.start()
    for entry in settings.get("environment") or ():
        name, _, value = entry.partition("=")
        os.environ[name] = value
    try:
        app, interface, hooks = load(plan, settings)
        _choose_loop(plan.loop, interface)
        if "tornado.autoreload" in sys.modules and interface == "tornado":
            # It executes the program anew, in this process; the port has to be free by then.
            sys.modules["tornado.autoreload"].add_reload_hook(gateway.kill)
        serving()

        def ready() -> None:
            if stopped.is_set():
                control.stop_from_signal()

        code = worker.run(app, interface, settings, ends.data, ends.marks, control, serving=ready, hooks=hooks)
    except StartFailed as failure:
        worker.report_failure(control, failure)
        if failure.trace and failure.trace != failure.error:
            sys.stderr.write(failure.trace.rstrip("\n") + "\n")
        raise
    except Exception as error:
        worker.report_failure(control, StartFailed("import", summary(error), trimmed(error)))
        raise
    if code != 0 and not gateway.asked:
        raise GatewayError("cannot go on serving: see above", code)


def load(plan: Plan, settings: Dict[str, Any]) -> Tuple[Any, str, Optional[Hooks]]:
    """The application that ``plan`` names, its interface, and the hooks of its module where it is named.

    ``post_fork`` is not called: nothing was forked.
    """
    target = settings["target"]
    factory = bool(settings.get("factory"))
    app = plan.app
    interface = settings.get("interface", "auto")
    hooks: Optional[Hooks] = None

    def with_hooks(module: ModuleType) -> None:
        nonlocal hooks
        hooks = worker.hooks_of(module, settings)

    if settings.get("accelerate"):
        from . import accelerate

        accelerate.begin()
    if isinstance(app, str):
        directory = settings.get("directory") or os.getcwd()
        if directory not in (os.path.abspath(entry or ".") for entry in sys.path):
            sys.path.insert(0, directory)
        app = loader.load(target, factory, interface, with_hooks)
    elif factory:
        app = app()
    if plan.debug is not None and hasattr(app, "debug") and not callable(app.debug):
        app.debug = bool(plan.debug)
    interface = loader.interface(app, interface, target)
    if plan.debugger:
        if interface != "wsgi":
            raise ValueError("cannot take use_debugger=True: werkzeug's debugger is for WSGI applications only")
        from werkzeug.debug import DebuggedApplication

        app = DebuggedApplication(app, evalex=plan.evalex)
    return app, interface, hooks


def _choose_loop(name: str, interface: str) -> None:
    """Make the loop that was asked for the current one, which is what the service then takes."""
    if not name or interface == "wsgi":
        return
    import asyncio

    if name == "uvloop":
        import uvloop

        asyncio.set_event_loop(uvloop.new_event_loop())
    else:
        asyncio.set_event_loop(asyncio.SelectorEventLoop())


def _nothing() -> None:
    """Do nothing."""
