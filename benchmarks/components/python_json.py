"""JSON from Python objects: what an answer costs before any server sees it."""

from __future__ import annotations

import importlib
import json
import marshal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import inputs


def compact(value: Any) -> bytes:
    """A value in the form in which both sides are compared."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def ways(folder: Path) -> list[Any]:
    orjson = importlib.import_module("orjson")
    out: list[Any] = []
    for name, value in inputs.json_values().items():
        calls: tuple[tuple[str, Callable[..., bytes], Callable[[bytes], Any]], ...] = (
            ("json.dumps", lambda value: json.dumps(value).encode(), json.loads),
            ("orjson.dumps (Rust)", orjson.dumps, json.loads),
            ("marshal.dumps (C), no JSON yet", lambda value: marshal.dumps(value, 2), marshal.loads),
        )
        for label, call, back in calls:
            out.append(
                (
                    "JSON",
                    name,
                    label,
                    lambda call=call, value=value: call(value),
                    lambda call=call, value=value, back=back: compact(back(call(value))),
                )
            )
    return out
