"""Orders: a page may watch what happens to one (Server-Sent Events)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator

from . import db
from .http import Request, Send, send_json, send_pieces, start


def insert(order_id: str, status: str) -> None:
    with db.session() as database:
        database.execute("INSERT INTO events (order_id, status) VALUES (?, ?)", (order_id, status))


async def add_event(request: Request, send: Send) -> None:
    status = (await request.json())["status"]
    await asyncio.to_thread(insert, request.args["id"], status)
    await send_json(send, {"status": status}, 201)


async def events(order_id: str) -> AsyncGenerator[bytes, None]:
    last = 0
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
            await asyncio.sleep(0.02)


async def watch(request: Request, send: Send) -> None:
    """Each event as it happens, until the order is delivered."""
    await start(send, 200, "text/event-stream", [("cache-control", "no-store")])
    pieces = events(request.args["id"])
    try:
        await send_pieces(send, pieces)
    finally:
        # send() raises when the client has left; the connection to the database is to be closed then too.
        await pieces.aclose()


ROUTES = [
    (["POST"], re.compile("/orders/(?P<id>[^/]+)/events"), add_event),
    (["GET"], re.compile("/orders/(?P<id>[^/]+)/events"), watch),
]
