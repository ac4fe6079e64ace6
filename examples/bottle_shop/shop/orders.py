"""Orders: a page may watch what happens to one (Server-Sent Events)."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator

from bottle import Bottle, request, response

from . import db as database

routes = Bottle()
routes.install(database.Plugin())


@routes.post("/orders/<order_id>/events")
def add_event(order_id: str, db: sqlite3.Connection) -> dict[str, str]:
    status = request.json["status"]
    db.execute("INSERT INTO events (order_id, status) VALUES (?, ?)", (order_id, status))
    response.status = 201
    return {"status": status}


@routes.get("/orders/<order_id>/events")
def watch(order_id: str) -> Iterator[str]:
    """Each event as it happens, until the order is delivered."""
    response.content_type = "text/event-stream; charset=utf-8"
    response.set_header("Cache-Control", "no-store")
    connection, last = database.connect(), 0
    try:
        while True:
            rows = connection.execute(
                "SELECT id, status FROM events WHERE order_id = ? AND id > ? ORDER BY id", (order_id, last)
            ).fetchall()
            for row in rows:
                last = row["id"]
                yield f"data: {json.dumps({'status': row['status']})}\n\n"
                if row["status"] == "delivered":
                    return
            time.sleep(0.02)
    finally:
        connection.close()
