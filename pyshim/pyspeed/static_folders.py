"""Which folders of files an application serves by itself: ``app.static = "auto"``.

Only what is certain counts. The gateway serves files of these folders with the status, body and Content-Type that the
application would; so nothing is found where code of the application has a say in it, and a reason is given.
"""

from __future__ import annotations

import mimetypes
import os
import sys
from datetime import timedelta
from typing import Any, Dict, Iterator, List, Optional, Tuple
from urllib.parse import urlsplit

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
    for kind, finder in (("flask", _flask), ("starlette", _starlette), ("django", _django)):
        if kind not in sys.modules:
            continue
        for one in _tried(kind, finder(app, root_path)):
            if isinstance(one, Unsure):
                reasons.append(str(one))
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


def _tried(kind: str, finder: Iterator[Any]) -> Iterator[Any]:
    """An application that is another than was thought of is served all the same."""
    try:
        yield from finder
    except Exception as error:
        yield Unsure(f"the folders of {kind} could not be looked at: {type(error).__name__}: {error}")


def _flask(app: Any, root_path: str) -> Iterator[Any]:
    from flask import Blueprint, Flask  # type: ignore[import-not-found,import-untyped,unused-ignore]

    if not isinstance(app, Flask):
        return
    owners: Dict[str, Tuple[Any, Optional[str]]] = {"static": (app, None)}
    owners.update({f"{name}.static": (blueprint, name) for name, blueprint in app.blueprints.items()})
    for rule in app.url_map.iter_rules():
        if rule.endpoint not in owners:
            continue
        owner, name = owners[rule.endpoint]
        if not owner.has_static_folder:
            continue
        try:
            _plain_flask(app, Flask)
            if name is not None and type(owner) is not Blueprint:
                raise Unsure(f"the blueprint {name} is a class of its own")
            _no_hooks(app, None if name is None else name)
            yield _flask_rule(app, owner, rule, root_path)
        except Unsure as error:
            yield Unsure(f"{rule.rule}: {error}")


def _plain_flask(app: Any, flask: Any) -> None:
    """That requests go the way that Flask made for them."""
    kind = type(app)
    for name in (
        *(
            "__call__",
            "wsgi_app",
            "full_dispatch_request",
            "preprocess_request",
            "dispatch_request",
            "process_response",
        ),
        *("finalize_request", "make_response", "send_static_file", "get_send_file_max_age", "create_url_adapter"),
    ):
        if getattr(kind, name, None) is not getattr(flask, name, None) or name in vars(app):
            raise Unsure(f"{name} is the application's own (or a middleware's)")


def _no_hooks(app: Any, name: Optional[str]) -> None:
    for hooks in ("url_value_preprocessors", "before_request_funcs", "after_request_funcs"):
        for scope in {None, name}:
            if getattr(app, hooks, {}).get(scope):
                raise Unsure(f"there are {hooks}, which may change the answer")


def _flask_rule(app: Any, owner: Any, rule: Any, root_path: str) -> Found:
    tail = "/<path:filename>"
    if not rule.rule.endswith(tail) or "<" in rule.rule[: -len(tail)] or rule.host or rule.subdomain:
        raise Unsure("it is not only a path")
    prefix = rule.rule[: -len(tail)]
    for other in app.url_map.iter_rules():
        literal = other.rule.partition("<")[0]
        if other is not rule and (literal.startswith(prefix + "/") or literal == prefix):
            raise Unsure(f"the route {other.rule} is within it")
    if not prefix:
        raise Unsure("it is the whole site")
    age = app.config["SEND_FILE_MAX_AGE_DEFAULT"]
    if isinstance(age, timedelta):
        age = int(age.total_seconds())
    if age is not None and (not isinstance(age, int) or age <= 0):
        raise Unsure(f"SEND_FILE_MAX_AGE_DEFAULT is {age!r}")
    return root_path + prefix, owner.static_folder, "no-cache" if age is None else f"public, max-age={age}"


def _starlette(app: Any, root_path: str) -> Iterator[Any]:
    from starlette.applications import Starlette  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from starlette.routing import Mount, Route  # type: ignore[import-not-found,import-untyped,unused-ignore]

    if "starlette.staticfiles" not in sys.modules or not isinstance(app, Starlette):
        return
    from starlette.staticfiles import StaticFiles  # type: ignore[import-not-found,import-untyped,unused-ignore]

    before: List[Any] = []
    for route in app.router.routes:
        if isinstance(route, Mount) and isinstance(getattr(route, "app", None), StaticFiles):
            try:
                if type(app).__module__.partition(".")[0] not in ("starlette", "fastapi"):
                    raise Unsure("the application is a class of its own")
                if app.user_middleware or getattr(route, "_base_app", route.app) is not route.app:
                    raise Unsure("there is middleware, which may change the answer")
                if (
                    type(route.app) is not StaticFiles
                    or getattr(route.app, "packages", None)
                    or not route.app.directory
                ):
                    raise Unsure("its StaticFiles are more than one folder, or a class of their own")
                path = route.path.rstrip("/")
                if not path or "{" in path:
                    raise Unsure("it is not only a path")
                for other in before:
                    if _may_take(other, path, Mount, Route):
                        raise Unsure(f"the route {getattr(other, 'path', other)} comes before it")
                yield root_path + path, os.fspath(route.app.directory), ""
            except Unsure as error:
                yield Unsure(f"{route.path}: {error}")
        before.append(route)


def _may_take(route: Any, path: str, mount: Any, plain: Any) -> bool:
    """Whether a route that comes first may take a request below the path."""
    own = getattr(route, "path", None)
    if not isinstance(own, str) or not isinstance(route, (mount, plain)):
        return True
    literal, parameter, _ = own.partition("{")
    if parameter:
        return path.startswith(literal) or literal.startswith(path + "/")
    if isinstance(route, mount):
        own = own.rstrip("/")
        return own == path or path.startswith(own + "/") or own.startswith(path + "/")
    return own.startswith(path + "/")


def _django(app: Any, root_path: str) -> Iterator[Any]:
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]

    handlers = sys.modules.get("django.core.handlers.base")
    if handlers is None or not settings.configured or not isinstance(app, handlers.BaseHandler):
        return
    root, url = settings.STATIC_ROOT, urlsplit(settings.STATIC_URL or "")
    if not root or url.netloc:
        return
    path = url.path.rstrip("/")
    if not path.startswith("/"):
        yield Unsure(f"STATIC_URL: {settings.STATIC_URL!r} is no path below the site")
    elif root_path and not path.startswith(root_path + "/"):
        yield Unsure(f"STATIC_URL: {settings.STATIC_URL!r} is not below {root_path}")
    else:
        yield path, os.fspath(root), ""
