"""``run_app``: serves an application from the calling process, which is its worker.

In: an application object, or the name of one, and keyword arguments as those of other servers' ``run``. The call
returns when the server has stopped. See :mod:`pyspeed.attached` for who runs what.
"""

from __future__ import annotations

import os
import sys
import threading

from . import keywords, loader
from .interrupt import Interrupts
from .launch import Gateway

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

    from .keywords import Plan


def run_app(app: Any, host: Optional[str] = None, port: Optional[int] = None, **options: Any) -> None:
    """Serve ``app`` on http://127.0.0.1:8000, or at ``host`` and ``port``, until Ctrl-C or SIGTERM.

    ``app`` is a WSGI, ASGI or Tornado application, or the import path of one ("main:app"), which ``workers`` above 1
    need. The calling thread serves; on the main thread Ctrl-C stops in order, a second one at once. Where an
    event loop runs already, as in a notebook, a thread serves and the call blocks all the same.

    ``docs/run_app.md`` lists the other keyword arguments. Raises TypeError and ValueError for those that are unknown or
    refused, GatewayError when the gateway cannot start (a port in use) or dies, StartFailed when the
    application cannot be served, and whatever its import raises.
    """
    plan = keywords.plan(app, {"host": host, "port": port, **options}, os.environ)
    _refuse_inside_import()
    gateway = Gateway(plan.arguments, not plan.spawned, plan.keep, _nothing if plan.quiet else _tell)
    interrupts = Interrupts(gateway)
    try:
        if plan.spawned:
            interrupts.install()
            gateway.wait()
            failure = gateway.failure()
            if failure is not None:
                raise failure
        elif _loop_runs():
            interrupts.install()
            _serve_beside(plan, gateway)
        else:
            from . import attached

            attached.serve(plan, gateway, interrupts.install)
    except KeyboardInterrupt:
        if not gateway.asked:
            raise  # while the application was loaded, or from a handler of its own
        gateway.kill()
    finally:
        interrupts.restore()


def _serve_beside(plan: Plan, gateway: Gateway) -> None:
    """Serve on a thread, while this one, whose event loop stands still meanwhile, waits."""
    from . import attached

    failures: List[BaseException] = []

    def serve() -> None:
        try:
            attached.serve(plan, gateway)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=serve, name="pyspeed-serving", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _loop_runs() -> bool:
    """Whether an event loop runs on this thread."""
    if "asyncio" not in sys.modules:
        return False
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _refuse_inside_import() -> None:
    """Raise RuntimeError where a worker imports the application, whose module then calls run_app again."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is loader.load.__code__:
            raise RuntimeError(
                "cannot serve: run_app() was called while a worker imports the application; "
                'put the call under if __name__ == "__main__":'
            )


def _tell(addresses: List[str]) -> None:
    try:
        sys.stderr.write("PySpeed on %s (Press CTRL+C to quit)\n" % ", ".join(addresses))
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # no terminal any more


def _nothing(addresses: List[str]) -> None:
    """Say nothing."""
