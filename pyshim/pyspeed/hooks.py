"""Lifecycle hooks: functions of the application's own module that the worker calls by their names.

In: the module that the target names. Imported only where it has one of them. All are called on the main thread:
``post_fork`` once the module is imported and before its factory is called, ``post_worker_init`` before anything is
served (and before an ASGI lifespan), ``worker_exit`` when the worker ends in order, after everything else.

A hook takes no argument, the worker, or, as gunicorn's do, the server and the worker. For ASGI and Tornado
it may be a coroutine function, which the event loop runs; plain functions are called outside the loop.
"""

from __future__ import annotations

import os
import sys
from types import FunctionType

from .control import StartFailed
from .tracebacks import summary, trimmed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger
    from types import ModuleType
    from typing import Any, Callable, Dict, Optional

    Wait = Callable[[Any], Any]  # runs a coroutine to its end

# Of code objects; as in the module inspect, which takes a megabyte.
_CO_VARARGS = 0x04
_CO_COROUTINE = 0x80


class _Logging:
    """What has a ``log``, as gunicorn's objects do."""

    @property
    def log(self) -> Logger:
        """The logger ``pyspeed.hooks``, which writes to standard error where nothing else was set up for it."""
        import logging

        logger = logging.getLogger("pyspeed.hooks")
        if not logger.hasHandlers():
            logger.addHandler(logging.StreamHandler())
            logger.setLevel(logging.INFO)
        return logger


class Worker(_Logging):
    """The worker process, for hooks."""

    def __init__(self, worker_id: str) -> None:
        self.id = worker_id  # "2": the first process of slot 2; "2.3": the third
        self.pid = os.getpid()
        self.age = int(worker_id.partition(".")[2] or 1)  # which process of its slot it is, from 1
        self.app: Any = None  # the application; None in post_fork


class Server(_Logging):
    """The gateway, for hooks that take two arguments."""

    def __init__(self, software: str) -> None:
        self.pid = os.getppid()
        self.software = software  # "pyspeed/" and the version


class Hooks:
    """The hooks of one application."""

    def __init__(self, module: ModuleType, settings: Dict[str, Any]) -> None:
        self._worker = Worker(settings.get("worker_id", ""))
        self._server = Server(settings.get("software", "pyspeed"))
        self._post_fork = _hook(module, "post_fork")
        self._post_worker_init = _hook(module, "post_worker_init")
        self._worker_exit = _hook(module, "worker_exit")

    def post_fork(self) -> None:
        """Call ``post_fork``. Raises StartFailed when it fails."""
        self._call(self._post_fork, None, "it is called before there is an event loop")

    def post_worker_init(self, app: Any, wait: Optional[Wait] = None) -> None:
        """Call ``post_worker_init``; ``wait`` is for coroutines. Raises StartFailed when it fails."""
        self._worker.app = app
        no_loop = "a WSGI application has no event loop"
        if wait is None and self._worker_exit is not None and _is_coroutine_function(self._worker_exit):
            raise StartFailed("hook", _refused(self._worker_exit, no_loop))
        self._call(self._post_worker_init, wait, no_loop)

    def worker_exit(self, wait: Optional[Wait] = None) -> None:
        """Call ``worker_exit``. When it fails, that is logged."""
        try:
            self._call(self._worker_exit, wait, "")
        except StartFailed as failure:
            sys.stderr.write("pyspeed: the hook worker_exit failed\n%s\n" % (failure.trace or failure.error).rstrip())

    def _call(self, hook: Optional[FunctionType], wait: Optional[Wait], no_loop: str) -> None:
        if hook is None:
            return
        if wait is None and _is_coroutine_function(hook):
            raise StartFailed("hook", _refused(hook, no_loop))
        takes: Any = hook
        while hasattr(takes, "__wrapped__"):
            takes = takes.__wrapped__
        code = takes.__code__
        needed = code.co_argcount - len(takes.__defaults__ or ())
        count = needed or (1 if code.co_argcount or code.co_flags & _CO_VARARGS else 0)
        if needed > 2 or code.co_kwonlyargcount > len(takes.__kwdefaults__ or ()):
            raise StartFailed(
                "hook",
                "cannot call the hook %s: it takes no argument, the worker, or the server and the worker, and no more"
                % hook.__name__,
            )
        try:
            result = hook(*(self._server, self._worker)[2 - count :])
            if wait is not None and hasattr(result, "__await__"):
                wait(result)
        except BaseException as error:
            # SystemExit too, which would skip what is still to be ended in order.
            raise StartFailed("hook", "%s: %s" % (hook.__name__, summary(error)), trimmed(error)) from None


def _hook(module: ModuleType, name: str) -> Optional[FunctionType]:
    """The module's function of this name. What was imported into it, or is no function, is something else."""
    found = vars(module).get(name)
    return found if type(found) is FunctionType and found.__module__ == module.__name__ else None


def _is_coroutine_function(function: FunctionType) -> bool:
    return bool(function.__code__.co_flags & _CO_COROUTINE)


def _refused(hook: FunctionType, no_loop: str) -> str:
    return "cannot call the hook %s: it is a coroutine function, and %s; define it with def" % (hook.__name__, no_loop)
