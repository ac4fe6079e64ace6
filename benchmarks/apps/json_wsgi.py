"""A list of 50 records, encoded again for every request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

RECORDS = [
    {"id": n, "name": f"record {n}", "price": n * 1.25, "tags": ["a", "b", "c"], "active": n % 3 == 0}
    for n in range(50)
]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps(RECORDS).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
