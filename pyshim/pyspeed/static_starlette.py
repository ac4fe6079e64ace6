"""The folders that a Starlette or FastAPI application has mounted."""

from __future__ import annotations

import os
import sys
from typing import Any, Iterator, List

from .static_folders import Unsure, altered, is_method, made_by, of_class

_PACKAGES = ("starlette", "fastapi")
# What a request for a file comes to, by class.
_APPLICATION = ("__call__", "build_middleware_stack")
_ROUTER = ("__call__", "app")
_ROUTE = ("matches", "handle")
_FILES = (
    *("__call__", "get_path", "get_response", "lookup_path", "file_response", "is_not_modified"),
    *("get_directories", "check_config"),
)


def find(app: Any, root_path: str) -> Iterator[Any]:
    from starlette.applications import Starlette  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from starlette.routing import Mount  # type: ignore[import-not-found,import-untyped,unused-ignore]

    if "starlette.staticfiles" not in sys.modules or not isinstance(app, Starlette):
        return
    from starlette.staticfiles import StaticFiles  # type: ignore[import-not-found,import-untyped,unused-ignore]

    before: List[Any] = []
    for route in app.router.routes:
        if isinstance(route, Mount) and isinstance(_mounted(route), StaticFiles):
            try:
                _plain_application(app)
                _plain_mount(route)
                _plain_files(_mounted(route))
                path = route.path.rstrip("/")
                if not path or "{" in path:
                    raise Unsure("it is not only a path")
                _plain_root(app, path, root_path)
                for other in before:
                    if _may_take(other, path):
                        raise Unsure(f"the route {_named(other)} comes before it")
                yield root_path + path, os.fspath(_mounted(route).directory), ""
            except Unsure as error:
                yield Unsure(f"{route.path}: {error}")
        before.append(route)


def _mounted(route: Any) -> Any:
    """What is mounted, below the mount's middleware."""
    return getattr(route, "_base_app", route.app)


def _plain_application(app: Any) -> None:
    """That requests go the way that Starlette or FastAPI made for them."""
    kinds = [vars(sys.modules[name]).get(kind) for name, kind in _modules("Starlette", "FastAPI", "applications")]
    if type(app) not in kinds:
        raise Unsure("the application is a class of its own")
    if app.user_middleware:
        raise Unsure("there is middleware, which may change the answer")
    changed = altered(app, type(app), _APPLICATION, _PACKAGES)
    if changed is not None:
        raise Unsure(f"{changed} is the application's own")
    router = app.router
    if not _plain_router(router):
        raise Unsure("its router is the application's own")
    stack = getattr(router, "middleware_stack", None)
    if stack is not None and not is_method(stack, router, of_class(type(router), "app")):
        raise Unsure("its router has middleware, which may change the answer")
    # It is there once the lifespan has begun.
    if app.middleware_stack is not None and _layers(app.middleware_stack, router) != _layers(
        app.build_middleware_stack(), router
    ):
        raise Unsure("its middleware_stack is the application's own")


def _modules(starlette: str, fastapi: str, module: str) -> Iterator[Any]:
    for name, kind in (("starlette." + module, starlette), ("fastapi." + module, fastapi)):
        if name in sys.modules:
            yield name, kind


def _plain_router(router: Any) -> bool:
    kinds = [vars(sys.modules[name]).get(kind) for name, kind in _modules("Router", "APIRouter", "routing")]
    return type(router) in kinds and altered(router, type(router), (*_ROUTER, *_ROUTE), _PACKAGES) is None


def _layers(layer: Any, router: Any) -> List[Any]:
    """The classes of what is around the router, and whether that is in the middle."""
    kinds: List[Any] = []
    while layer is not None and layer is not router and len(kinds) < 100:
        kinds.append(type(layer))
        layer = getattr(layer, "app", None)
    return [*kinds, layer is router]


def _plain_mount(route: Any) -> None:
    from starlette.routing import Mount

    if type(route) is not Mount or altered(route, Mount, _ROUTE, _PACKAGES) is not None or not _plain_path(route):
        raise Unsure("its route is a class of its own")
    if route.app is not _mounted(route):
        raise Unsure("there is middleware, which may change the answer")


def _plain_files(files: Any) -> None:
    from starlette.staticfiles import StaticFiles

    if (
        type(files) is not StaticFiles
        or altered(files, StaticFiles, _FILES, _PACKAGES) is not None
        or not made_by(vars(sys.modules["starlette.staticfiles"]).get("FileResponse"), _PACKAGES)
        or getattr(files, "packages", None)
        or not files.directory
        or list(files.all_directories) != [files.directory]
    ):
        raise Unsure("its StaticFiles are more than one folder, or a class of their own")


def _plain_root(app: Any, path: str, root_path: str) -> None:
    """FastAPI's own root_path is taken from the beginning of a path before the routes see it."""
    own = getattr(app, "root_path", "")
    if own and (path.startswith(own) or root_path not in ("", own)):
        raise Unsure(f"the application's root_path is {own}")


def _may_take(route: Any, path: str) -> bool:
    """Whether a route that comes first may take a request below the path."""
    if type(route).__module__ == "fastapi.routing" and hasattr(route, "original_router"):  # by include_router
        contexts = vars(sys.modules["fastapi.routing"]).get("iter_route_contexts")
        if contexts is None or not _plain_included(route):
            return True
        return any(_takes(one.original_route, one, path) for one in contexts([route]))
    return _takes(route, route, path)


def _plain_included(route: Any) -> bool:
    router = route.original_router
    return (
        made_by(of_class(type(route), "matches"), _PACKAGES)
        and _plain_router(router)
        and all(_plain_included(one) for one in router.routes if hasattr(one, "original_router"))
    )


def _takes(route: Any, seen: Any, path: str) -> bool:
    """seen is what has its path, with the prefix of the router that it is in."""
    from starlette.routing import Mount, Route, WebSocketRoute

    if "matches" in getattr(route, "__dict__", {}) or not made_by(of_class(type(route), "matches"), _PACKAGES):
        return True
    if isinstance(route, WebSocketRoute):
        return False
    own = getattr(seen, "path", None)
    if not isinstance(own, str) or not isinstance(route, (Mount, Route)) or not _plain_path(seen, route):
        return True
    literal, parameter, _ = own.partition("{")
    if parameter:
        return path.startswith(literal) or literal.startswith(path + "/")
    if isinstance(route, Mount):
        own = own.rstrip("/")
        return own == path or path.startswith(own + "/") or own.startswith(path + "/")
    return own.startswith(path + "/")


def _plain_path(seen: Any, route: Any = None) -> bool:
    """Whether a route takes the paths that its own says."""
    from starlette.routing import Mount, compile_path

    mounted = isinstance(route or seen, Mount)
    compiled = compile_path(seen.path.rstrip("/") + "/{path:path}" if mounted else seen.path)[0]
    return bool(seen.path_regex == compiled)


def _named(route: Any) -> str:
    prefix = getattr(getattr(route, "include_context", None), "prefix", None)
    path = getattr(route, "path", None) or getattr(route, "host", None) or prefix
    return path if isinstance(path, str) else type(route).__name__
