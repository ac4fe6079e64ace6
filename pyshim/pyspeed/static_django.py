"""STATIC_ROOT of a Django project.

Django serves it in development only; in production that is left to the server in front, whose answers the project's
middleware does not see. So what is looked at is whether the project serves it by itself all the same, and whether it
is a folder of such files alone.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any, Iterator
from urllib.parse import urlsplit

from .static_folders import Unsure

_HANDLERS = (("django.core.handlers.wsgi", "WSGIHandler"), ("django.core.handlers.asgi", "ASGIHandler"))
# Middleware that serves STATIC_ROOT, with headers of its own.
_SERVERS = ("whitenoise", "servestatic")


def find(app: Any, root_path: str) -> Iterator[Any]:
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]

    handlers = sys.modules.get("django.core.handlers.base")
    if handlers is None or not settings.configured or not isinstance(app, handlers.BaseHandler):
        return
    root, url = settings.STATIC_ROOT, urlsplit(settings.STATIC_URL or "")
    if not root or url.netloc:
        return
    path = url.path.rstrip("/")
    try:
        if not path.startswith("/"):
            raise Unsure("it is no path below the site")
        if root_path and not path.startswith(root_path + "/"):
            raise Unsure(f"it is not below {root_path}")
        if type(app) not in [getattr(sys.modules.get(module), name, None) for module, name in _HANDLERS]:
            raise Unsure(f"{type(app).__name__} is no handler of Django's own, and may serve it")
        _not_by_middleware(settings)
        _not_by_a_view(path[len(root_path) :])
        _no_sources(settings, os.fspath(root))
        yield path, os.fspath(root), ""
    except Unsure as error:
        yield Unsure(f"STATIC_URL {settings.STATIC_URL!r}: {error}")


def _not_by_middleware(settings: Any) -> None:
    from django.utils.module_loading import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import_string,
    )

    for entry in settings.MIDDLEWARE:
        made = import_string(entry)
        names = [entry, *(one.__module__ for one in getattr(made, "__mro__", ()))]
        if any(server in name.lower() for server in _SERVERS for name in names):
            raise Unsure(f"the middleware {entry} serves it")


def _not_by_a_view(path: str) -> None:
    """What takes every path, whatever it is, comes after the server in front; what is for these does not."""
    from django.urls import get_resolver  # type: ignore[import-not-found,import-untyped,unused-ignore]

    for route in _routes(get_resolver(), ""):
        # As far as it is literal, of a path() or of an expression.
        literal = re.split(r"[<(\[.?*+|{$]", route.replace("^", "").replace("\\A", "").replace("\\", ""))[0]
        if ("/" + literal + "/").startswith(path + "/"):
            raise Unsure(f"the URLconf has a view for it ({route})")
    here, elsewhere = _route_of(path + "/x.css"), _route_of(re.sub(r"[^/]+", r"z\g<0>z", path) + "/x.css")
    if here is not None and here != elsewhere:
        raise Unsure(f"the URLconf has a view for it ({here})")


def _routes(resolver: Any, before: str) -> Iterator[str]:
    for one in resolver.url_patterns:
        route = before + str(one.pattern)
        if hasattr(one, "url_patterns"):
            yield from _routes(one, route)
        else:
            yield route


def _route_of(path: str) -> Any:
    from django.urls import Resolver404, resolve

    try:
        return resolve(path).route
    except Resolver404:
        return None


def _no_sources(settings: Any, root: str) -> None:
    """A folder that the project itself is in was not made by collectstatic."""
    folder = os.path.realpath(root)
    modules = [sys.modules.get(str(getattr(settings, name, None))) for name in ("SETTINGS_MODULE", "ROOT_URLCONF")]
    paths = [getattr(settings, "BASE_DIR", None), os.getcwd(), *(getattr(one, "__file__", None) for one in modules)]
    for path in paths:
        if path and os.path.join(os.path.realpath(path), "").startswith(os.path.join(folder, "")):
            raise Unsure(f"STATIC_ROOT {root} has the project's own files; name a folder for collectstatic alone")
    if os.path.lexists(os.path.join(folder, "manage.py")):
        raise Unsure(f"STATIC_ROOT {root} has manage.py; name a folder for collectstatic alone")
