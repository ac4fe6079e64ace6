"""Orders: a page may watch what happens to one (Server-Sent Events)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

from . import db
from .http import Answer, Request, answer, json_answer


def add_event(request: Request) -> Answer:
    status = request.json()["status"]
    with db.session() as database:
        database.execute("INSERT INTO events (order_id, status) VALUES (?, ?)", (request.args["id"], status))
    return json_answer({"status": status}, 201)


def events(order_id: str) -> Iterator[bytes]:
    last = 0
    # Leaving the block is certain: the server calls close() on what it was given (PEP 3333).
    with db.session() as database:
        while True:
            rows = database.execute(
                "SELECT id, status FROM events WHERE order_id = ? AND id > ? ORDER BY id", (order_id, last)
            ).fetchall()
            for row in rows:
                last = row["id"]
                yield f"data: {json.dumps({'status': row['status']})}\n\n".encode()
                if row["status"] == "delivered":
                    return
            time.sleep(0.02)


def watch(request: Request) -> Answer:
    """Each event as it happens, until the order is delivered."""
    return answer(200, "text/event-stream", events(request.args["id"]), [("Cache-Control", "no-store")])


ROUTES = [
    (["POST"], re.compile("/orders/(?P<id>[^/]+)/events"), add_event),
    (["GET"], re.compile("/orders/(?P<id>[^/]+)/events"), watch),
]
