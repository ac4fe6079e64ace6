"""Modules that are changed once they are imported, whoever imports them.

In: functions, by the name of the module that each is to be called with. Out: a finder for the front of
``sys.meta_path``. On whatever thread imports, under the import system's lock of that module.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, Callable, Mapping, Optional, Sequence

    Change = Callable[[Any], None]
    Failed = Callable[[ModuleType, Exception], None]


class Changer:
    """Finds modules as the others do, and calls ``changes[name](module)`` for those that it has a change for.

    What a change raises goes to ``failed(module, error)``; the module is imported all the same.
    """

    def __init__(self, changes: Mapping[str, Change], failed: Failed) -> None:
        self._changes = changes
        self._failed = failed

    def find_spec(
        self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        """Part of the import system."""
        change = self._changes.get(name)
        if change is None:
            return None
        spec = find_behind(self, name, path, target)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, change, self._failed)  # type: ignore[assignment]
        return spec


def find_behind(
    me: Any, name: str, path: Optional[Sequence[str]], target: Optional[ModuleType]
) -> Optional[ModuleSpec]:
    """What the finders say that come after ``me``."""
    finders = list(sys.meta_path)
    if me not in finders:
        return None  # it has been taken out meanwhile, and the import system asks the others by itself
    for finder in finders[finders.index(me) + 1 :]:
        if hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
    return None


class _Loader:
    """Loads a module by its own loader and changes it then."""

    def __init__(self, inner: Any, change: Change, failed: Failed) -> None:
        self._inner = inner
        self._change = change
        self._failed = failed

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        """Part of the import system."""
        module: Optional[ModuleType] = self._inner.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Part of the import system."""
        # The module is to know its own loader, which can do more than this one.
        module.__loader__ = self._inner
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        try:
            self._change(module)
        except Exception as error:
            self._failed(module, error)
