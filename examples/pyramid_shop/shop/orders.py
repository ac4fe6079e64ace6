"""Orders: a page may watch what happens to one (Server-Sent Events)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from . import db


@view_config(route_name="events", request_method="POST", renderer="json")
def add_event(request: Request) -> dict[str, str]:
    status = request.json_body["status"]
    request.db.execute("INSERT INTO events (order_id, status) VALUES (?, ?)", (request.matchdict["id"], status))
    request.response.status = 201
    return {"status": status}


@view_config(route_name="events", request_method="GET")
def watch(request: Request) -> Response:
    """Each event as it happens, until the order is delivered."""
    order_id = request.matchdict["id"]

    def events() -> Iterator[bytes]:
        # Not request.db: that is closed once the view has returned.
        connection, last = db.connect(), 0
        try:
            while True:
                rows = connection.execute(
                    "SELECT id, status FROM events WHERE order_id = ? AND id > ? ORDER BY id", (order_id, last)
                ).fetchall()
                for row in rows:
                    last = row["id"]
                    yield f"data: {json.dumps({'status': row['status']})}\n\n".encode()
                    if row["status"] == "delivered":
                        return
                time.sleep(0.02)
        finally:
            connection.close()

    return Response(app_iter=events(), content_type="text/event-stream", cache_control="no-store")
