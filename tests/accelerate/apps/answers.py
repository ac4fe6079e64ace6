"""What the applications of this folder answer with, by name; each value is made when it is asked for."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections import OrderedDict
from typing import Any

SMALL = 1e-7  # json writes 1e-07, orjson 1e-7: so it can be seen who wrote


class Color(enum.Enum):
    RED = 1


def answer(name: str) -> Any:
    if name == "list":
        return [
            {"id": number, "name": f"récord {number}", "price": number * SMALL, "tags": ["a", None], "on": True}
            for number in range(50)
        ]
    return {
        "database": {
            "when": datetime.datetime(2024, 1, 2, 3, 4, 5, 678901, datetime.timezone.utc),
            "price": decimal.Decimal("12.50"),
            "id": uuid.UUID(int=7),
            "note": None,
        },
        "ordered": OrderedDict(b=1, a={"x": (1, 2)}),
        "numbers": {"keys": {1: "a"}},
        "big": {"big": 2**70},
        "nan": {"a": float("nan"), "b": None},
        "enum": {"color": Color.RED},
        "object": {"a": object()},
        "surrogate": {"a": "\ud800"},
        "bytes": {"a": b"b"},
    }[name]


NAMES = ("list", "database", "ordered", "numbers", "big", "nan", "enum", "object", "surrogate", "bytes")
