"""Orders: a page may watch what happens to one (Server-Sent Events)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from . import db


def insert(order_id: str, status: str) -> None:
    with db.session() as database:
        database.execute("INSERT INTO events (order_id, status) VALUES (?, ?)", (order_id, status))


async def add_event(request: Request) -> JSONResponse:
    status = (await request.json())["status"]
    await run_in_threadpool(insert, request.path_params["order_id"], status)
    return JSONResponse({"status": status}, 201)


async def watch(request: Request) -> StreamingResponse:
    """Each event as it happens, until the order is delivered."""
    order_id = request.path_params["order_id"]

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


routes = [
    Route("/orders/{order_id}/events", add_event, methods=["POST"]),
    Route("/orders/{order_id}/events", watch),
]
