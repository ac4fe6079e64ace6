"""Finds the application: ``module:attribute`` in, a callable and its interface out.

Runs once, on the main thread, before anything is served. What the application's own
import raises passes through unchanged; :class:`StartFailed` is for what is wrong with
the target itself.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from keyword import iskeyword
from types import FunctionType, MethodType, ModuleType

from .control import StartFailed
from .tracebacks import own

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from inspect import Signature
    from typing import Any, Callable, Dict, List, Optional, Tuple

DEFAULT_ATTRIBUTES = ("application", "app")

# Frameworks whose objects can be told by the package of a class in their MRO, where the
# signature alone leaves it open (for example ``__call__(self, *args)`` in a subclass).
_WSGI_CLASSES = {
    "flask.app.Flask",
    "django.core.handlers.wsgi.WSGIHandler",
    "bottle.Bottle",
    "pyramid.router.Router",
    "falcon.app.App",
    "werkzeug.wrappers.response.Response",
    "cherrypy._cptree.Tree",
    "webob.dec.wsgify",
}
_ASGI_CLASSES = {
    "starlette.applications.Starlette",
    "quart.app.Quart",
    "litestar.app.Litestar",
    "sanic.app.Sanic",
    "falcon.asgi.app.App",
    "django.core.handlers.asgi.ASGIHandler",
    "blacksheep.server.application.Application",
}
# Tornado's applications and routers derive from it; most can be called, but with a request of its own kind.
_TORNADO_CLASSES = {"tornado.httputil.HTTPServerConnectionDelegate"}
# The functions of asyncio and Tornado that return when the event loop ends.
_LOOPS = ("start", "run", "run_forever", "run_until_complete")
_INTERFACES = ("wsgi", "asgi", "tornado")

# Of code objects; as in the module inspect, which is imported only where these do not suffice: it takes a megabyte.
_CO_VARARGS = 0x04
_CO_COROUTINE = 0x80
_CO_ASYNC_GENERATOR = 0x200
# What makes a callable look like something else to inspect.
_MARKS = ("__wrapped__", "__signature__", "_is_coroutine_marker", "__text_signature__")

# Where this package was imported from: the zip, or the folder in a checkout.
_SHIM = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def arrange_path(directory: str) -> None:
    """Put ``directory`` first on sys.path and the shim's own entry last, where it hides nothing of the application."""
    directory = directory or os.getcwd()
    rest = [entry for entry in sys.path if entry != directory and os.path.abspath(entry or ".") != _SHIM]
    sys.path[:] = [directory, *rest, _SHIM]
    # What importlib.invalidate_caches() does, for this one; that imports a megabyte on Python 3.13.
    sys.path_importer_cache.pop(directory, None)


def load(
    target: str,
    factory: bool = False,
    wanted: str = "auto",
    imported: Callable[[ModuleType], None] = lambda module: None,
) -> Any:
    """Import ``target`` and return the application object.

    ``module:attribute``, ``module:object.attribute``, ``module:factory()`` (with literal
    arguments), ``module`` alone (tries ``application``, then ``app``; of a Django project its
    entry for the interface ``wanted``), or a file's path instead of the module. ``factory``
    calls what was found. ``imported`` is called with the module, before any factory.
    """
    module_name, expression = _split(target)
    module = _import(module_name, target)
    names, call = _parse(expression, target)
    if not names:
        for name in DEFAULT_ATTRIBUTES:
            if hasattr(module, name):
                names = [name]
                break
        else:
            if hasattr(module, "__path__") and not factory and not _candidates(module):
                from . import django_project

                return django_project.load(module, target, wanted, imported)
            raise StartFailed(
                "import",
                "cannot load %r: module %r has neither %r nor %r%s"
                % (target, module.__name__, *DEFAULT_ATTRIBUTES, _candidates(module)),
            )
    imported(module)
    found: Any = module
    for position, name in enumerate(names):
        try:
            found = getattr(found, name)
        except AttributeError:
            if position == 0 and not hasattr(module, name):
                owner = "module %r" % module.__name__
            else:
                owner = "%r" % ".".join(names[:position])
            raise StartFailed(
                "import", "cannot load %r: %s has no attribute %r%s" % (target, owner, name, _similar(found, name))
            ) from None
    if call is not None or factory:
        if not callable(found):
            raise StartFailed(
                "import",
                "cannot load %r: the factory %r is a %s, not callable" % (target, ".".join(names), _kind(found)),
            )
        arguments, keywords = call or ([], {})
        found = found(*arguments, **keywords)
    return found


def interface(app: Any, wanted: str = "auto", target: str = "the application") -> str:
    """``wsgi``, ``asgi`` or ``tornado``: what ``app`` speaks.

    Raises StartFailed when it is none of them, or not what was ``wanted``.
    """
    if wanted not in ("auto", *_INTERFACES):
        raise StartFailed(
            "interface", "cannot serve %s: unknown interface %r; use auto, wsgi, asgi or tornado" % (target, wanted)
        )
    if "tornado" in sys.modules and _tornado(app, target):
        if wanted in ("auto", "tornado"):
            return "tornado"
        raise StartFailed(
            "interface",
            "cannot serve %s as %s: it is a Tornado application; use interface tornado" % (target, wanted.upper()),
        )
    if wanted == "tornado":
        raise StartFailed(
            "interface",
            "cannot serve %s as Tornado: it is a %s, neither a tornado.web.Application nor another "
            "tornado.httputil.HTTPServerConnectionDelegate" % (target, _kind(app)),
        )
    if not callable(app):
        hint = ""
        if hasattr(type(app), "__await__"):
            hint = "; its factory is a coroutine function, which cannot be called here"
        raise StartFailed(
            "interface", "cannot serve %s: it is a %s, which is not callable%s" % (target, _kind(app), hint)
        )
    found = _detect(app, target, wanted)
    if wanted == "auto":
        return found
    if wanted == "wsgi" and _is_coroutine_callable(app):
        raise StartFailed(
            "interface",
            "cannot serve %s as WSGI: it is a coroutine function, so an ASGI application; use interface asgi" % target,
        )
    if wanted == "asgi" and found == "wsgi":
        raise StartFailed(
            "interface",
            "cannot serve %s as ASGI: it is a WSGI application, called with (environ, start_response); "
            "use interface wsgi" % target,
        )
    return wanted


def name_running_loop(thread: int) -> None:
    """Say so on stderr where that thread's import does not return because it runs an event loop. On any thread."""
    frame = sys._current_frames().get(thread)
    runs = False
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module == __name__:
            if runs:
                sys.stderr.write(
                    "pyspeed: the application's module runs an event loop while it is imported; IOLoop.start(), "
                    "asyncio.run() and listen() belong under: if __name__ == '__main__'\n"
                )
                sys.stderr.flush()
            return
        runs = runs or (frame.f_code.co_name in _LOOPS and module.startswith(("tornado.", "asyncio.")))
        frame = frame.f_back


def _split(target: str) -> Tuple[str, str]:
    if target.endswith(".py") or ".py:" in target:
        path, _, expression = target.partition(".py")
        return _module_of_file(path + ".py", target), expression.lstrip(":")
    module_name, _, expression = target.partition(":")
    if not module_name:
        raise StartFailed("import", "cannot load %r: no module is named; write it as module:attribute" % target)
    if os.sep in module_name and not module_name.startswith("."):
        raise StartFailed("import", "cannot load %r: write the module with dots, or the file with its .py" % target)
    return module_name, expression


def _module_of_file(path: str, target: str) -> str:
    """The name by which the file's directory, or that of its outermost package, imports it; puts that on sys.path."""
    full = os.path.abspath(path)
    if not os.path.isfile(full):
        raise StartFailed("import", "cannot load %r: there is no file %s" % (target, full))
    directory, name = os.path.split(full)
    parts = [name[:-3]]
    if parts == ["__init__"]:
        parts = []
    while os.path.isfile(os.path.join(directory, "__init__.py")):
        directory, package = os.path.split(directory)
        parts.insert(0, package)
    if directory in sys.path:
        sys.path.remove(directory)
    sys.path.insert(0, directory)
    return ".".join(parts)


def _import(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only when the target itself is what is missing; what the application fails to import is its own
        # error, and the traceback has to say so.
        missing = error.name
        if missing is None or not (name == missing or name.startswith(missing + ".")) or _inside_application(error):
            raise
        raise StartFailed(
            "import",
            "cannot load %r: there is no module %r; looked in %s"
            % (target, missing, ", ".join(p or "." for p in sys.path[:-1])),
        ) from None
    except (ValueError, TypeError) as error:
        if _inside_application(error):
            raise
        raise StartFailed("import", "cannot load %r: %s" % (target, error)) from None


def _inside_application(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if not own(trace):
            return True
        trace = trace.tb_next
    return False


def _parse(expression: str, target: str) -> Tuple[List[str], Optional[Tuple[List[Any], Dict[str, Any]]]]:
    """Names to follow, and the arguments when the expression is a call."""
    if not expression:
        return [], None
    plain = expression.split(".")
    if expression.isascii() and all(name.isidentifier() and not iskeyword(name) for name in plain):
        return plain, None
    import ast

    try:
        node: ast.expr = ast.parse(expression.strip(), mode="eval").body
        call: Optional[Tuple[List[Any], Dict[str, Any]]] = None
        if isinstance(node, ast.Call):
            if any(keyword.arg is None for keyword in node.keywords):
                raise ValueError
            call = (
                [ast.literal_eval(argument) for argument in node.args],
                {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords},
            )
            node = node.func
        names: List[str] = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            raise ValueError
    except (SyntaxError, ValueError, TypeError):
        raise StartFailed(
            "import",
            "cannot load %r: %r is neither an attribute nor a call with literal arguments" % (target, expression),
        ) from None
    return [node.id, *names], call


def _similar(owner: Any, name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, [n for n in dir(owner) if not n.startswith("__")], n=1)
    if close:
        return "; did you mean %r?" % close[0]
    return _candidates(owner) if isinstance(owner, ModuleType) else ""


def _candidates(module: ModuleType) -> str:
    names = []
    for name, value in vars(module).items():
        if name.startswith("_") or isinstance(value, (type, FunctionType, ModuleType)):
            continue
        if _known(value):
            names.append(name)
    return "; did you mean %s?" % " or ".join(repr(name) for name in names) if names else ""


def _kind(value: Any) -> str:
    return type(value).__name__


def _known(app: Any) -> str:
    for base in type(app).__mro__:
        name = "%s.%s" % (base.__module__, base.__qualname__)
        if name in _ASGI_CLASSES:
            return "asgi"
        if name in _TORNADO_CLASSES:
            return "tornado"
        if name in _WSGI_CLASSES:
            return "wsgi"
    return ""


def _tornado(app: Any, target: str) -> bool:
    """Whether app is driven through Tornado's interfaces. Raises StartFailed for what only Tornado's server can use."""
    names = ["%s.%s" % (base.__module__, base.__qualname__) for base in type(app).__mro__]
    if "tornado.httpserver.HTTPServer" in names:
        raise StartFailed(
            "interface",
            "cannot serve %s: it is a Tornado HTTPServer, and pyspeed-gw is the server; name the application" % target,
        )
    if "tornado.wsgi.WSGIContainer" in names:
        raise StartFailed(
            "interface",
            "cannot serve %s: it is a tornado.wsgi.WSGIContainer; name the WSGI application inside it" % target,
        )
    return not _TORNADO_CLASSES.isdisjoint(names)


def _is_coroutine_callable(app: Any) -> bool:
    while isinstance(app, functools.partial):
        app = app.func
    if isinstance(app, type):
        # ``await app(scope, receive, send)`` makes an instance and awaits it.
        return hasattr(app, "__await__")
    function, _ = _function(app)
    if function is not None:
        return bool(function.__code__.co_flags & _CO_COROUTINE)
    import inspect

    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004


def _detect(app: Any, target: str, wanted: str) -> str:
    known = _known(app)
    if known:
        return known
    if _is_coroutine_callable(app):
        return "asgi"
    two, three = _takes_two_three(app)
    if two or three:
        return ("wsgi" if wanted == "auto" else wanted) if two and three else "wsgi" if two else "asgi"
    import inspect

    if inspect.isasyncgenfunction(app):
        raise StartFailed(
            "interface", "cannot serve %s: it is an asynchronous generator function, neither WSGI nor ASGI" % target
        )
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return "wsgi" if wanted == "auto" else wanted  # written in C: it does not tell
    two, three = _takes(signature, 2), _takes(signature, 3)
    if two and three:
        return "wsgi" if wanted == "auto" else wanted
    if three:
        return "asgi"
    if two:
        return "wsgi"
    if _takes(signature, 1):
        raise StartFailed(
            "interface",
            "cannot serve %s: it takes one argument, as ASGI 2 applications did; "
            "wrap it with asgiref.compatibility.guarantee_single_callable" % target,
        )
    if _takes(signature, 0):
        raise StartFailed(
            "interface",
            "cannot serve %s: it takes no arguments, so it looks like a factory; call it, %s(), or set factory"
            % (target, target),
        )
    raise StartFailed(
        "interface", "cannot serve %s: its signature %s is neither WSGI's nor ASGI's" % (target, signature)
    )


def _function(app: Any) -> Tuple[Optional[FunctionType], int]:
    """The plain function that calling ``app`` runs, and how many arguments are bound to it already.

    None where it takes :mod:`inspect` to tell, such as for what a decorator has marked or wrapped.
    """
    bound = 0
    function = app
    if type(app) is not FunctionType:
        function = app if type(app) is MethodType else getattr(app, "__call__", None)  # noqa: B004
        if type(function) is not MethodType or any(hasattr(app, mark) for mark in _MARKS):
            return None, 0
        function = function.__func__
        bound = 1
    if type(function) is not FunctionType or any(mark in function.__dict__ for mark in _MARKS):
        return None, 0
    return function, bound


def _takes_two_three(app: Any) -> Tuple[bool, bool]:
    """Whether a plain function takes two and three positional arguments; both False where that is not all there is."""
    function, bound = _function(app)
    if function is None:
        return False, False
    code = function.__code__
    if code.co_flags & _CO_ASYNC_GENERATOR or code.co_argcount < bound:
        return False, False
    if code.co_kwonlyargcount > len(function.__kwdefaults__ or ()):
        return False, False
    most = code.co_argcount - bound
    least = most - len(function.__defaults__ or ())
    more = bool(code.co_flags & _CO_VARARGS)
    return least <= 2 and (more or most >= 2), least <= 3 and (more or most >= 3)


def _takes(signature: Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
