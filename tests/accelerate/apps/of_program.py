"""Serves an application that exists already, and says afterwards whether the frameworks are as they were.

Flask and Starlette have been imported before, FastAPI is by a request.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from types import FunctionType
from typing import Any

import pyspeed
import starlette.requests
import starlette.responses
from flask.json.provider import DefaultJSONProvider
from on_flask import app

KINDS = (DefaultJSONProvider, starlette.responses.JSONResponse, starlette.requests.Request)
before = [dict(vars(kind)) for kind in KINDS]
finders = list(sys.meta_path)
taken: list[Any] = []


@dataclasses.dataclass
class Card:
    tags: set[float]


@app.get("/meanwhile")
def meanwhile():
    import fastapi.encoders
    import fastapi.routing

    taken.append(fastapi.encoders.jsonable_encoder)
    return str(ours(taken[0]))


def ours(function: Any) -> bool:
    return isinstance(function, FunctionType) and function.__globals__["__name__"].startswith("pyspeed.")


def left() -> list[str]:
    """What is not as it was."""
    import fastapi.encoders
    import fastapi.routing

    found = [kind.__name__ for kind, had in zip(KINDS, before) if dict(vars(kind)) != had]
    for module in (fastapi.encoders, fastapi.routing):
        found += [f"{module.__name__}.{name}" for name, of in vars(module).items() if ours(of) or "pyspeed" in name]
    if sys.meta_path != finders:
        found.append("sys.meta_path")
    # Whoever has imported a function meanwhile has it still.
    if taken and taken[0]([Card({1.5})]) != [{"tags": [1.5]}]:
        found.append("the outcome of jsonable_encoder")
    return found


pyspeed.run_app(app, port=0, options=json.loads(sys.argv[1]))
changed = " ".join(left())
sys.stdout.write(f"not as it was: {changed}\n" if changed else "all is as it was\n")
sys.stdout.flush()
