"""Starlette: what ``JSONResponse`` writes, and ``await request.json()``.

Classes derived from these have it too, save where they have methods of their own.
"""

from __future__ import annotations

from functools import wraps

from . import exact
from .exact import UNSURE
from .patches import known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .exact import Orjson
    from .patches import Patches


class Written:
    """Stands for the content of a response whose JSON there is already."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body


def responses(module: Any, orjson: Orjson, patches: Patches) -> None:
    """Accelerate the module ``starlette.responses``."""
    kind = module.JSONResponse
    render = known(kind, "render", "json dumps encode", constants=(False, (",", ":"), "utf-8"))
    encode = orjson.encoder({})

    @wraps(render)
    def fast_render(self: Any, content: Any) -> Any:
        if type(content) is Written:
            return content.body
        if exact.writes(module.json):
            data = encode(content)
            if data is not UNSURE:
                return data
        return render(self, content)

    patches.replace(kind, "render", fast_render)


def requests(module: Any, orjson: Orjson, patches: Patches) -> None:
    """Accelerate the module ``starlette.requests``."""
    kind = module.Request
    json = known(kind, "json", "hasattr body json loads _json", constants=("_json",))

    @wraps(json)
    async def fast_json(self: Any) -> Any:
        if not hasattr(self, "_json"):
            # As the original, which is not called: a subclass may give a body once.
            body = await self.body()
            value = UNSURE
            if type(body) is bytes and exact.reads(module.json):
                value = orjson.decode(body)
            self._json = module.json.loads(body) if value is UNSURE else value
        return self._json

    patches.replace(kind, "json", fast_json)
