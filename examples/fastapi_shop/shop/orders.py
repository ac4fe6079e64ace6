"""Orders: a page may watch what happens to one (Server-Sent Events)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from . import db

router = APIRouter()


class Event(BaseModel):
    status: str


@router.post("/orders/{order_id}/events", status_code=201)
def add_event(order_id: str, event: Event, database: db.Database) -> Event:
    database.execute("INSERT INTO events (order_id, status) VALUES (?, ?)", (order_id, event.status))
    return event


@router.get("/orders/{order_id}/events")
async def watch(order_id: str) -> StreamingResponse:
    """Each event as it happens, until the order is delivered."""

    async def events() -> AsyncIterator[str]:
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
                await asyncio.sleep(0.02)
        finally:
            connection.close()

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
