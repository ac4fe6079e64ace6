"""A worker that was begun before it is needed: what the application brings from elsewhere is imported already.

In: what a worker says when it is ready, :func:`reusable`, comes back in the command ``prepare`` of the next
process, :func:`prepare`. Out: imported modules. Both on the main thread, under ``--reload`` only.

The application must not find anything other than what it would have found. So nothing is imported ahead

- that lies in the folders that are watched, nor what needs such a module;
- when the application, while it was imported, changed how or what is imported afterwards: ``sys.path``, the import
  system, patches of the standard library;
- when it set variables of the environment, which modules may read as they are imported. What is known not to is then
  imported all the same;
- that cannot be imported by itself: the process that finds out is not used.
"""

from __future__ import annotations

import builtins
import os
import sys
from importlib import import_module
from types import ModuleType

from .control import StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any, Callable, List, Optional, Sequence, Set, Tuple

    from .control import Control, Message

# Packages that read no variables of the environment as they are imported, or none that an application would set.
_INDIFFERENT = {
    *(
        "annotated_doc",
        "annotated_types",
        "anyio",
        "asgiref",
        "blinker",
        "bottle",
        "click",
        "django",
        "fastapi",
        "flask",
    ),
    *("h11", "httptools", "idna", "itsdangerous", "jinja2", "mako", "markupsafe", "multipart", "plaster", "pydantic"),
    *("pydantic_core", "pyramid", "python_multipart", "sniffio", "sqlparse", "starlette", "tornado"),
    *("translationstring", "typing_extensions", "typing_inspection", "uvloop", "venusian", "webob", "werkzeug", "zope"),
}
# What names the application's settings, and is read where these are, never before.
_HARMLESS = ("DJANGO_SETTINGS_MODULE",)
# What has patched the standard library, or looks at every import.
_PATCHING = ("gevent.monkey", "eventlet.patcher", "debugpy", "pydevd", "coverage")
_STDLIB = os.path.dirname(os.__file__) + os.sep
# Shim modules that a worker of that interface needs.
_SERVING = {"wsgi": ("wsgi", "hooks"), "asgi": ("asgi", "hooks"), "tornado": ("asgi", "tornado_worker", "hooks")}


class Baseline:
    """How the process was before the application was imported."""

    def __init__(self, watched: Sequence[str]) -> None:
        self._watched = _inside(watched)
        self._environment = dict(os.environ)
        self._path = list(sys.path)
        self._finders = list(sys.meta_path)
        self._hooks = list(sys.path_hooks)
        self._import = builtins.__import__

    def reusable(self) -> List[str]:
        """The modules that another process may import ahead, in their order."""
        if self._changed():
            return []
        environment = {name: value for name, value in os.environ.items() if name not in _HARMLESS}
        before = {name: value for name, value in self._environment.items() if name not in _HARMLESS}
        careful = environment != before
        names = []
        for name, module in list(sys.modules.items()):
            origin = _origin(name, module)
            if not origin or origin.startswith(self._watched) or name.partition(".")[0] in ("pyspeed", "__main__"):
                continue
            if careful and not _is_stdlib(origin) and name.partition(".")[0] not in _INDIFFERENT:
                continue
            names.append(name)
        return names

    def _changed(self) -> bool:
        if sys.path[: len(self._path)] != self._path or sys.meta_path[: len(self._finders)] != self._finders:
            return True
        if sys.path_hooks != self._hooks or builtins.__import__ is not self._import:
            return True
        if any(name in sys.modules for name in _PATCHING):
            return True
        for module, attribute in (("socket", "socket"), ("threading", "Thread"), ("ssl", "SSLContext")):
            if module in sys.modules and getattr(sys.modules[module], attribute).__module__ != module:
                return True
        logging = sys.modules.get("logging")
        if logging is not None and logging.getLoggerClass() is not logging.Logger:
            return True
        # Another module in the place of one of the standard library.
        for name in getattr(sys, "stdlib_module_names", ()):
            spec = getattr(sys.modules.get(name), "__spec__", None)
            if spec is not None and spec.name.partition(".")[0] not in getattr(sys, "stdlib_module_names", ()):
                return True
        return False


def prepare(message: Message, control: Control, imported: Callable[[], None]) -> None:
    """Import what ``message`` names, and say so. ``imported()`` is called when the package is."""
    from . import development

    development.begin()
    for name in _SERVING.get(message.get("interface", ""), ()):
        import_module("." + name, __package__)
    imported()
    before = set(sys.modules)
    guard = _Guard(_inside(message.get("watched", ())))
    sys.meta_path.insert(0, guard)
    unfit = []
    try:
        for name in message.get("modules", ()):
            try:
                import_module(name)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                unfit.append(name)
    finally:
        sys.meta_path.remove(guard)
    _ahead.update(name.partition(".")[0] for name in sys.modules if name not in before)
    control.send({"event": "prepared", "unfit": unfit})


# Top-level names of what was imported ahead.
_ahead: Set[str] = set()


def refuse_hidden(directory: str) -> None:
    """Raise StartFailed where the application has a module of its own for a name that was imported ahead."""
    for name in _ahead:
        base = os.path.join(directory, name)
        if os.path.exists(base + ".py") or os.path.exists(os.path.join(base, "__init__.py")):
            raise StartFailed("spare", "the application has a module %r of its own" % name)


class _Guard:
    """Refuses to import modules of the application."""

    def __init__(self, watched: Tuple[str, ...]) -> None:
        self._watched = watched

    def find_spec(
        self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        """Part of the import system."""
        from .imports import find_behind

        spec = find_behind(self, name, path, target)
        if spec is not None and (spec.origin or "").startswith(self._watched):
            raise ImportError("%s is the application's" % name)
        return spec


def _inside(folders: Sequence[str]) -> Tuple[str, ...]:
    return tuple(os.path.join(folder, "") for folder in folders)


def _origin(name: str, module: Any) -> str:
    """The file of a module that goes by its own name; "" for any other."""
    if not isinstance(module, ModuleType):
        return ""
    spec = vars(module).get("__spec__")
    if spec is None or spec.name != name or not isinstance(spec.origin, str) or not os.path.isabs(spec.origin):
        return ""
    return str(spec.origin)


def _is_stdlib(origin: str) -> bool:
    return origin.startswith(_STDLIB) and "-packages" not in origin
