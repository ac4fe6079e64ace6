"""JSON inside the frameworks by orjson, for the applications as they are (`json.accelerate`).

In: :func:`begin`, before the application is imported. Out: functions of Flask, Starlette, FastAPI, Django and Django
REST framework that do what they did, sooner; :func:`report` says which. A framework is changed when the application
imports it, whenever that is; nothing is imported that it does not import, save orjson.

The contract is that of :mod:`pyspeed.accelerate.exact`: equal values, and errors from the original code. Whatever an
application has made different (a provider or encoder of its own, options, a ``json.dumps`` of its own) stays so, as
each function looks before it does anything. Without orjson, with one that is not as expected, or with an unknown
version of a framework everything is as it was, and the report says why.
"""

from __future__ import annotations

import sys
from importlib import import_module
from threading import Lock

from .. import imports
from .patches import Patches, Unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Dict, List, Optional, Tuple

    from .exact import Orjson

# Of each module: the one here and its function that know it, and what that is for the user. In the order of needs.
_MODULES: Dict[str, Tuple[str, str, str]] = {
    "flask.json.provider": ("flask", "provider", "Flask's jsonify and get_json"),
    "starlette.responses": ("starlette", "responses", "Starlette's JSONResponse"),
    "starlette.requests": ("starlette", "requests", "Starlette's request.json"),
    "fastapi.encoders": ("fastapi", "encoders", "FastAPI's jsonable_encoder"),
    "fastapi.routing": ("fastapi", "routing", "FastAPI's untyped answers"),
    "django.http.response": ("django", "response", "Django's JsonResponse"),
    "rest_framework.renderers": ("rest_framework", "renderers", "Django REST framework's JSONRenderer"),
}
_REMEDY = "install it into the application's environment (pip install orjson), or set json.accelerate to false"

_lock = Lock()
_patches = Patches()
_changer: Optional[imports.Changer] = None
_orjson: Optional[Orjson] = None
_looked = False  # for orjson
_done: List[str] = []  # modules
_problems: List[str] = []
_reported = False


def begin() -> None:
    """Accelerate what is imported from now on, and what is imported already. Once; before threads import anything."""
    global _changer
    if _changer is not None:
        return
    _changer = imports.Changer(dict.fromkeys(_MODULES, _change), _failed)
    sys.meta_path.insert(0, _changer)
    for name in _MODULES:
        module = sys.modules.get(name)
        if module is not None:
            try:
                _change(module)
            except Exception as error:
                _failed(module, error)


def end() -> None:
    """Leave everything as it was before :func:`begin`."""
    global _changer, _looked, _orjson, _reported
    if _changer is not None and _changer in sys.meta_path:
        sys.meta_path.remove(_changer)
    _changer = _orjson = None
    _looked = _reported = False
    _patches.undo()
    _done.clear()
    _problems.clear()


def report() -> Dict[str, Any]:
    """What the gateway hears of it when the worker is ready. What is found later goes to standard error."""
    global _reported
    _reported = True
    about = {name: entry[2] for name, entry in _MODULES.items()}
    # A view may import it with its first request.
    later = [name for name in about if name not in sys.modules and _may_come(name)]
    return {
        "accelerate": True,
        "accelerated": [about[name] for name in about if name in _done],
        "accelerated_later": [about[name] for name in later] if _orjson is not None else [],
        "not_accelerated": list(_problems),
    }


def _may_come(name: str) -> bool:
    """Whether a module may be imported yet: its framework has been, and the version that is there has it."""
    if name.partition(".")[0] not in sys.modules:
        return False
    if name.rpartition(".")[0] not in sys.modules:
        return True  # to look for the module would import its package
    from importlib.util import find_spec

    try:
        return find_spec(name) is not None
    except (ImportError, AttributeError, ValueError):
        return False


def _change(module: ModuleType) -> None:
    inside, function, _ = _MODULES[module.__name__]
    orjson = _load()
    if orjson is not None:
        getattr(import_module("." + inside, __name__), function)(module, orjson, _patches)
        _done.append(module.__name__)


def _load() -> Optional[Orjson]:
    """The orjson of the application's environment; None where there is none that can be used, which is said once."""
    global _orjson, _looked
    with _lock:
        if not _looked:
            _looked = True
            try:
                _orjson = _usable()
            except Exception as error:
                _say(str(error))
    return _orjson


def _usable() -> Orjson:
    from .exact import Orjson, Unusable

    gil = getattr(sys, "_is_gil_enabled", None)
    if gil is not None and not gil():
        # orjson may bring it back, for good; and exact.py is exact only under it.
        raise Unusable("this Python runs without the GIL, which orjson needs; set json.accelerate to false")
    try:
        orjson = import_module("orjson")
    except ImportError as error:
        raise Unusable("orjson cannot be imported (%s); %s" % (error, _REMEDY)) from None
    return Orjson(orjson)


def _failed(module: ModuleType, error: Exception) -> None:
    why = str(error) if isinstance(error, Unknown) else "%s: %s" % (type(error).__name__, error)
    _say("%s: left as before, as this version is not known: %s" % (_MODULES[module.__name__][2], why))


def _say(problem: str) -> None:
    if _reported:
        sys.stderr.write("pyspeed: json.accelerate: %s\n" % problem)
    else:
        _problems.append(problem)
