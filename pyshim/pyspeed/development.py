"""What is different in a worker under ``--reload``: caches of code and of templates give nothing stale.

In: nothing. Out: changed classes of the import system and of template engines. :func:`begin` runs once, before the
application is imported. Without ``--reload`` this module is not imported.

*Code.* A cached ``.pyc`` belongs to a source of a certain size and modification time, in whole seconds: of two edits
in one second that leave the size as it was, the second may never be seen. So a ``.pyc`` is neither written nor used
that was made within moments of the edit.

*pdb.* Where the gateway has a terminal to offer, it is used (:mod:`pyspeed.terminal_pdb`).

*Templates.* The gateway does not replace workers when a template changes, so the engines have to look whether it
has. What they do for that in their own debug modes is done here without those, which would show themselves otherwise.
"""

from __future__ import annotations

import os
import sys
import time
from _frozen_importlib_external import SourceFileLoader

from .imports import Changer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from .spare import Baseline

# Seconds from a file's last change on after which nobody can change it within the same tick of the clock, also
# where that is another machine's, and whoever had begun to read it by then has finished.
_SETTLED = 5.0


# Of the start; None before it.
_baseline: Optional[Baseline] = None
_begun = False


def begin(settings: Optional[Dict[str, Any]] = None) -> None:
    """Have nothing stale be used from now on; with the start message, when the application is about to be imported."""
    global _baseline, _begun
    if not _begun:
        _begun = True
        _distrust_bytecode(SourceFileLoader)
        sys.meta_path.insert(0, Changer(_ADJUST, _unknown))
    if settings is not None:
        from . import spare

        spare.refuse_hidden(settings.get("directory", ""))
        _baseline = spare.Baseline(settings.get("watched", ()))


def reusable() -> List[str]:
    """The modules that the next worker may import before it is needed."""
    return _baseline.reusable() if _baseline is not None else []


def _distrust_bytecode(loader: Any) -> None:
    """Have a class like SourceFileLoader use and write no ``.pyc`` that may be of an older source."""
    get_data, set_data = loader.get_data, loader.set_data

    def checked_get_data(self: Any, path: str) -> bytes:
        if path == self.path:
            self._pyspeed_settled = time.time() - os.stat(path).st_mtime >= _SETTLED
        elif path.endswith(".pyc") and os.stat(path).st_mtime - os.stat(self.path).st_mtime < _SETTLED:
            raise OSError("it was made within moments of the last edit")
        data: bytes = get_data(self, path)
        return data

    def checked_set_data(self: Any, path: str, data: bytes, **more: Any) -> None:
        if getattr(self, "_pyspeed_settled", False):
            set_data(self, path, data, **more)

    loader.get_data, loader.set_data = checked_get_data, checked_set_data


def _unknown(module: ModuleType, error: Exception) -> None:
    sys.stderr.write(
        "pyspeed: a changed template may not be seen before the next reload: this version of %s is "
        "not known (%s: %s); name such files in reload.include\n"
        % (module.__name__.partition(".")[0], type(error).__name__, error)
    )


def _always(name: str) -> property:
    """An attribute that is True, whatever it is set to."""
    return property(lambda self: True, lambda self, value: None, doc="%s, under --reload." % name)


def _jinja(module: Any) -> None:
    module.Environment.auto_reload = _always("auto_reload")


def _chameleon(module: Any) -> None:
    module.BaseTemplateFile.auto_reload = _always("auto_reload")


def _tornado(module: Any) -> None:
    init = module.Application.__init__

    def __init__(self: Any, *arguments: Any, **settings: Any) -> None:
        init(self, *arguments, **settings)
        self.settings["compiled_template_cache"] = self.settings["static_hash_cache"] = False

    module.Application.__init__ = __init__


def _tornado_autoreload(module: Any) -> None:
    # The gateway does what it does: both would be two reloads.
    module.start = lambda check_time=500: None


def _stamp(path: Any) -> Optional[Tuple[int, int]]:
    """How a file is that is about to be read; None: what is read must not be kept, for it may change unseen."""
    try:
        status = os.stat(path)
    except (OSError, ValueError, TypeError):
        return None
    if time.time() - status.st_mtime < _SETTLED:
        return None
    return status.st_mtime_ns, status.st_size


def _mako(module: Any) -> None:
    lookup = module.TemplateLookup
    load = lookup._load

    def stamping_load(self: Any, filename: Any, uri: Any) -> Any:
        stamp = _stamp(filename)
        template = load(self, filename, uri)
        template.pyspeed_stamp = stamp
        return template

    def check(self: Any, uri: Any, template: Any) -> Any:
        # Its own compares with the time at which the template was loaded, in whole seconds.
        stamp = getattr(template, "pyspeed_stamp", None)
        if template.filename is None or (stamp is not None and _stamp(template.filename) == stamp):
            return template
        self._collection.pop(uri, None)
        return self._load(template.filename, uri)

    lookup._load, lookup._check = stamping_load, check
    lookup.filesystem_checks = _always("filesystem_checks")


def _django(module: Any) -> None:
    cached = module.Loader
    get_template, get_contents = cached.get_template, cached.get_contents

    def stamping_get_contents(self: Any, origin: Any) -> Any:
        origin.pyspeed_stamp = _stamp(origin.name)
        return get_contents(self, origin)

    def current(self: Any, found: Any, name: str, skip: Any) -> bool:
        origin = getattr(found, "origin", None)
        stamp = getattr(origin, "pyspeed_stamp", None)
        if stamp is None:
            return False  # it is too young, or it was not there
        for other in self.get_template_sources(name):
            if other == origin:
                return bool(_stamp(origin.name) == stamp)
            if (skip is None or other not in skip) and os.path.exists(other.name):
                return False  # in front of what was found
        return False

    def checked_get_template(self: Any, template_name: str, skip: Any = None) -> Any:
        key = self.cache_key(template_name, skip)
        found = self.get_template_cache.get(key)
        if found is not None and not current(self, found, template_name, skip):
            self.get_template_cache.pop(key, None)
        return get_template(self, template_name, skip)

    cached.get_template, cached.get_contents = checked_get_template, stamping_get_contents


def _bottle(module: Any) -> None:
    simple = module.SimpleTemplate
    prepare = simple.prepare

    class Templates(dict):  # type: ignore[type-arg]
        """Bottle's caches: only what is as it was is in them."""

        def __setitem__(self, key: Any, template: Any) -> None:
            # It reads its file when it is rendered first, which comes later.
            template.pyspeed_stamp = _stamp(template.filename)
            super().__setitem__(key, template)

        def __contains__(self, key: Any) -> bool:
            template = self.get(key)
            if template is None or template.filename is None:
                return template is not None
            # Other engines' templates keep those that they include to themselves.
            stamp = template.pyspeed_stamp
            return isinstance(template, simple) and stamp is not None and _stamp(template.filename) == stamp

    def preparing(self: Any, *arguments: Any, **settings: Any) -> None:
        prepare(self, *arguments, **settings)
        self.cache = Templates()  # of those that it includes

    module.TEMPLATES = Templates(module.TEMPLATES)
    simple.prepare = preparing


def _pdb(module: Any) -> None:
    if "pyspeed.terminal" in sys.modules:
        from .terminal_pdb import adopt

        adopt(module)


_ADJUST: Dict[str, Callable[[Any], None]] = {
    "pdb": _pdb,
    "jinja2.environment": _jinja,
    "mako.lookup": _mako,
    "chameleon.template": _chameleon,
    "tornado.web": _tornado,
    "tornado.autoreload": _tornado_autoreload,
    "django.template.loaders.cached": _django,
    "bottle": _bottle,
}
