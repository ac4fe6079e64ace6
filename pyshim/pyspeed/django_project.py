"""A Django project by its name: the package with the settings in, its WSGI or ASGI application out.

Called by :mod:`pyspeed.loader`, on the main thread, for a package that has no application of its own;
imported only then.
"""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec

from .control import StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable

SETTINGS = "DJANGO_SETTINGS_MODULE"


def load(package: ModuleType, target: str, interface: str, imported: Callable[[ModuleType], None]) -> Any:
    """The application of the Django project ``package``; raises StartFailed when it is none.

    That is ``application`` in the project's own ``wsgi.py`` (for the interfaces auto and wsgi) or
    ``asgi.py`` (asgi; auto where there is no ``wsgi.py``). A project with neither gets Django's, with the
    settings that DJANGO_SETTINGS_MODULE names, or else ``settings`` in the package. What the project's
    modules raise passes through. ``imported`` is called with the module that the application comes from.
    """
    name = package.__name__
    entries = [entry for entry in ("wsgi", "asgi") if _has(name, entry)]
    if not _has(name, "settings") and not os.environ.get(SETTINGS, "").startswith(name + "."):
        raise StartFailed("import", "cannot load %r: %s" % (target, _no_project(package, entries)))
    wanted = "asgi" if interface == "asgi" or (interface == "auto" and entries == ["asgi"]) else "wsgi"
    if wanted in entries:
        module = importlib.import_module("%s.%s" % (name, wanted))
        imported(module)
        try:
            return module.application
        except AttributeError:
            raise StartFailed(
                "import",
                "cannot load %r: the Django project's module %s.%s has no 'application'; "
                "name what is to be served, as in %s.%s:app" % (target, name, wanted, name, wanted),
            ) from None
    os.environ.setdefault(SETTINGS, name + ".settings")
    try:
        import django  # type: ignore[import-not-found,import-untyped,unused-ignore] # noqa: F401
    except ImportError as error:
        raise StartFailed(
            "import",
            "cannot load %r: it is a Django project, and Django cannot be imported: %s; "
            "install it for the interpreter in app.python" % (target, error),
        ) from None
    return getattr(importlib.import_module("django.core." + wanted), "get_%s_application" % wanted)()


def _has(package: str, submodule: str) -> bool:
    try:
        return find_spec("%s.%s" % (package, submodule)) is not None
    except (ImportError, ValueError):
        return False


def _no_project(package: ModuleType, entries: list[str]) -> str:
    """Why ``package`` cannot be served by its name, and what to do."""
    name = package.__name__
    reason = "the package %r has neither 'application' nor 'app', and no settings as a Django project has" % name
    if entries:
        return "%s; did you mean %s?" % (reason, " or ".join("%s.%s" % (name, entry) for entry in entries))
    for folder in package.__path__:
        if os.path.isfile(os.path.join(folder, "manage.py")):
            return "%s; it is the folder of manage.py: start there (app.directory or --chdir)" % reason
    return reason
