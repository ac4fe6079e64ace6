"""Which folders of files an application serves by itself: ``app.static = "auto"``.

Only what is certain counts. The gateway serves files of these folders with the status, body and Content-Type that the
application would; so nothing is found where code of the application has a say in it, and a reason is given.
"""

from __future__ import annotations

import mimetypes
import os
import re
import sys
from types import FunctionType, MethodType
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

# Files of other kinds stay with the application.
EXTENSIONS = (
    *(".css", ".js", ".mjs", ".map", ".json", ".txt", ".xml", ".html", ".svg", ".webmanifest", ".pdf", ".zip", ".wasm"),
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".ico", ".bmp", ".woff", ".woff2", ".ttf", ".otf", ".eot"),
    *(".mp3", ".mp4", ".webm", ".ogg", ".wav"),
)

# Route, folder, Cache-Control.
Found = Tuple[str, str, str]


class Unsure(Exception):
    """Why a folder stays with the application."""


def report(app: Any, root_path: str) -> Dict[str, Any]:
    """For ``ready``: lists of one length for what was found, of types by extension, and of reasons."""
    found: List[Found] = []
    reasons: List[str] = []
    types: List[str] = []
    for kind in ("flask", "starlette", "django"):
        if kind not in sys.modules:
            continue
        for one in _tried(kind, app, root_path):
            if isinstance(one, Unsure):
                # Workers of one application say the same, wherever its objects are.
                reasons.append(re.sub(r" at 0x[0-9A-Fa-f]+", "", str(one)))
            elif not os.path.isdir(one[1]):
                reasons.append(f"{one[0]}: {one[1]} is no folder")
            else:
                found.append(one)
                types = types or list(_types(kind))
    return {
        "static": True,
        "static_routes": [route for route, _, _ in found],
        "static_folders": [os.path.abspath(folder) for _, folder, _ in found],
        "static_caching": [caching for _, _, caching in found],
        "static_types": types,
        "static_not": reasons,
    }


def _types(kind: str) -> Iterator[str]:
    """EXTENSION=Content-Type, as the framework makes it of what this process guesses."""
    for extension in EXTENSIONS:
        guessed, encoding = mimetypes.guess_type("a" + extension)
        if guessed is None or encoding is not None:
            continue
        if kind == "flask":
            from werkzeug.utils import get_content_type  # type: ignore[import-not-found,import-untyped,unused-ignore]

            guessed = get_content_type(guessed, "utf-8")
        elif guessed.startswith("text/"):
            guessed += "; charset=utf-8"
        yield f"{extension}={guessed}"


def _tried(kind: str, app: Any, root_path: str) -> Iterator[Any]:
    """An application that is another than was thought of is served all the same."""
    try:
        if kind == "flask":
            from .static_flask import find
        elif kind == "starlette":
            from .static_starlette import find
        else:
            from .static_django import find
        yield from find(app, root_path)
    except Exception as error:
        yield Unsure(f"the folders of {kind} could not be looked at: {type(error).__name__}: {error}")


def made_by(value: Any, packages: Tuple[str, ...]) -> bool:
    """Whether a package made this attribute of a class or module, and nothing has been put in its place since.

    A function is known by where it was compiled, and everything by its type: functools.wraps copies names, and proxies
    pass on all that they are asked for.
    """
    kind = type(value)
    if kind is FunctionType:
        return _package(value.__globals__.get("__name__")) in packages
    if kind is staticmethod or kind is classmethod:
        return made_by(value.__func__, packages)
    if kind is property:
        return made_by(value.fget, packages)
    if issubclass(kind, type):
        return _package(value.__module__) in packages
    return _package(kind.__module__) in (*packages, "builtins", "functools") and not callable(value)


def _package(module: Any) -> str:
    return module.partition(".")[0] if isinstance(module, str) else ""


def of_class(kind: type, name: str) -> Any:
    """The attribute as the class has it; None: it has none."""
    for one in kind.__mro__:
        if name in vars(one):
            return vars(one)[name]
    return None


def altered(instance: Any, base: type, names: Iterable[str], packages: Tuple[str, ...]) -> Optional[str]:
    """The first of these attributes of a class of the packages that a subclass, the instance or a patch replaces."""
    own = vars(instance)
    for name in names:
        original = of_class(base, name)
        if original is None:  # of another version
            continue
        if of_class(type(instance), name) is not original or not made_by(original, packages):
            return name
        if name in own and (callable(original) or not hasattr(type(original), "__get__")):
            return name
    return None


def is_method(value: Any, owner: Any, function: Any) -> bool:
    """Whether this is the function as the owner's method."""
    return type(value) is MethodType and value.__self__ is owner and value.__func__ is function
