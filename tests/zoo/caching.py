"""What the animals that are cached answer.

X-Say of a request tells them, in JSON; the cache does not know of it: ``status``, ``fields`` (pairs), ``text`` or
``size`` of the body, ``gate`` to wait for. Without a text the body says who asked for what. Each run is noted.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from keeper import note, wait_for_gate


def answer(path: str, query: str, fields: Mapping[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
    note(path)
    say: dict[str, Any] = json.loads(fields.get("x-say", "{}"))
    if "gate" in say:
        wait_for_gate(say["gate"])
    if "size" in say:
        body = (uuid.uuid4().hex * (say["size"] // 32 + 1))[: say["size"]].encode()
    elif "text" in say:
        body = say["text"].encode()
    else:
        about = {name: fields.get(name, "") for name in ("host", "x-forwarded-host", "authorization", "cookie")}
        body = json.dumps({"run": uuid.uuid4().hex, "query": query, **about}).encode()
    headers = [("Content-Type", "application/json"), *(tuple(pair) for pair in say.get("fields", []))]
    return say.get("status", 200), headers, body
