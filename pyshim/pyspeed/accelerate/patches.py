"""Functions of frameworks that are replaced, if they are the known ones.

In: where a function is, and what stands for it. Out: the function that was there; :meth:`Patches.undo` brings it back.
"""

from __future__ import annotations

from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Tuple

_MISSING = object()


class Unknown(Exception):
    """A framework's code is not as in any version that is known; it is left as it is."""


def known(owner: Any, name: str, needs: str, may: str = "", constants: Tuple[Any, ...] = ()) -> FunctionType:
    """The function ``name`` of a class or module, if it is as expected; raises Unknown.

    It must use the names in ``needs`` and no others, save those in ``may``, and the ``constants``. So a version that
    does something else is found out, and so is one that somebody has wrapped or replaced.
    """
    function = vars(owner).get(name)
    label = "%s.%s" % (getattr(owner, "__qualname__", owner.__name__), name)
    if type(function) is not FunctionType:
        raise Unknown("%s is not there, or somebody has replaced it" % label)
    names = set(function.__code__.co_names)
    needed = set(needs.split())
    if not needed <= names or not names - needed <= set(may.split()):
        raise Unknown("%s does something else" % label)
    if not all(constant in function.__code__.co_consts for constant in constants):
        raise Unknown("%s does something else" % label)
    return function


class Patches:
    """What has been replaced, in order."""

    def __init__(self) -> None:
        self._made: List[Tuple[Any, str, Any, Any]] = []

    def replace(self, owner: Any, name: str, new: Any) -> None:
        """Set an attribute of a class or module."""
        self._made.append((owner, name, vars(owner).get(name, _MISSING), new))
        setattr(owner, name, new)

    def there(self, owner: Any, name: str) -> Any:
        """What has been put there by :meth:`replace` if it is there still, and None if not.

        An attribute of a function does not tell that: what wraps it may have copied them.
        """
        found = vars(owner).get(name)
        for its_owner, its_name, _, new in self._made:
            if its_owner is owner and its_name == name and new is found:
                return found
        return None

    def undo(self) -> None:
        """Set back what nobody else has replaced since."""
        while self._made:
            owner, name, old, new = self._made.pop()
            if vars(owner).get(name) is not new:
                continue
            if old is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, old)
