"""Orders: a page may watch what happens to one (Server-Sent Events)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, request

from . import db

bp = Blueprint("orders", __name__)


@bp.post("/orders/<order_id>/events")
def add_event(order_id: str) -> Any:
    status = request.get_json()["status"]
    db.get().execute("INSERT INTO events (order_id, status) VALUES (?, ?)", (order_id, status))
    return jsonify(status=status), 201


@bp.get("/orders/<order_id>/events")
def watch(order_id: str) -> Response:
    """Each event as it happens, until the order is delivered."""

    def events() -> Iterator[str]:
        connection, last = db.connect(), 0
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

    return Response(events(), mimetype="text/event-stream", headers={"Cache-Control": "no-store"})
