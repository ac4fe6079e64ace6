"""What the animals that hide and search have in common: secrets, and where else one might be.

Every request has a secret of its own. An animal hides it in every place it can reach, and reports each
secret of another request that it finds in what it was given.
"""

from __future__ import annotations

import contextvars
import io
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

SECRET = re.compile(r"secret-[0-9a-f]+-[0-9]+-[0-9]+\.")  # with an end, as a piece of a body may end inside it

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE")
HIDDEN = "stash"  # the attribute that hide_in_shim() adds


def others(own: str, place: str, value: Any, depth: int = 0) -> Iterator[str]:
    """Every secret but ``own`` in ``value``, with the place that it is in."""
    if depth > 8:
        return
    if isinstance(value, (bytes, bytearray)):
        value = value.decode("latin-1")
    if isinstance(value, str):
        yield from (f"{place}: {secret}" for secret in SECRET.findall(value) if secret != own)
    elif isinstance(value, io.BytesIO):
        yield from others(own, place, value.getvalue(), depth + 1)
    elif isinstance(value, dict):
        for key, item in list(value.items()):
            yield from others(own, f"{place} key", key, depth + 1)
            yield from others(own, f"{place}[{key!r}]", item, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in list(value):
            yield from others(own, f"{place}[]", item, depth + 1)
    elif not isinstance(value, (type, types.ModuleType, types.FunctionType)) and hasattr(value, "__dict__"):
        yield from others(own, f"{place}.__dict__", vars(value), depth + 1)


def in_reach(own: str, given: dict[str, Any]) -> list[str]:
    """What of others is in the environ or scope, the context, the error state and the shim. At a request's start."""
    found = [*others(own, "given", given), *others(own, "context", list(contextvars.copy_context().items()))]
    try:
        raise KeyError(own)
    except KeyError as error:
        # An exception that somebody else is handling would be its context.
        found += others(own, "exception", repr(error.__context__))
    for name, value in _of_shim():
        if not name.endswith(f".{HIDDEN}"):
            found += others(own, name, value)
    return found


def hide_in_shim(own: str) -> None:
    """In the globals of the shim, in its functions and in their defaults."""
    for name, module in _shim():
        setattr(module, HIDDEN, own)
        for value in list(vars(module).values()):
            if isinstance(value, types.FunctionType) and value.__module__ == name:
                value.__dict__[HIDDEN] = own
                for default in (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()):
                    hide(own, default)


def hide(own: str, value: Any) -> None:
    """In a container, in what it holds, or as an attribute."""
    if isinstance(value, dict):
        for item in list(value.values()):
            hide(own, item)
        value[HIDDEN] = own
        value[HIDDEN + ".deep"] = {"list": [own]}
    elif isinstance(value, list):
        value.append(own)
    elif isinstance(value, set):
        value.add(own)
    elif not isinstance(value, (type, str, bytes, tuple)):
        try:
            setattr(value, HIDDEN, own)
        except AttributeError:
            pass  # it keeps nothing


def _shim() -> list[tuple[str, types.ModuleType]]:
    return [(name, module) for name, module in list(sys.modules.items()) if name.partition(".")[0] == "pyspeed"]


def _of_shim() -> Iterator[tuple[str, Any]]:
    for name, module in _shim():
        for attribute, value in list(vars(module).items()):
            place = f"{name}.{attribute}"
            if isinstance(value, type) and value.__module__ == name:
                for key, item in list(vars(value).items()):
                    yield from _of_function(f"{place}.{key}", item)
            elif not isinstance(value, (type, types.ModuleType)):
                yield from _of_function(place, value)


def _of_function(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, types.FunctionType):
        yield f"{place} defaults", (value.__defaults__, value.__kwdefaults__)
        yield f"{place} attributes", {key: item for key, item in value.__dict__.items() if key != HIDDEN}
    elif not place.endswith("__"):
        yield place, value
