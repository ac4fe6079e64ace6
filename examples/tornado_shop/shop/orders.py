"""Orders: a page may watch what happens to one (Server-Sent Events)."""

from __future__ import annotations

import asyncio
import json

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, url

from . import db
from .handler import Handler


class Events(Handler):
    async def post(self, order: str) -> None:
        status = self.json().get("status")
        if not isinstance(status, str):
            raise HTTPError(400, "an event has a status")
        await self.off_loop(db.insert, "INSERT INTO events (order_id, status) VALUES (?, ?)", order, status)
        self.set_status(201)
        self.answer({"status": status})

    async def get(self, order: str) -> None:
        """Each event as it happens, until the order is delivered."""
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        statement, last = "SELECT id, status FROM events WHERE order_id = ? AND id > ? ORDER BY id", 0
        self.gone = False
        try:
            await self.flush()
            while not self.gone:
                for row in await self.off_loop(db.rows, statement, order, last):
                    last = row["id"]
                    self.write("data: {}\n\n".format(json.dumps({"status": row["status"]})))
                    await self.flush()
                    if row["status"] == "delivered":
                        return
                await asyncio.sleep(0.02)
        except StreamClosedError:
            return  # nobody watches any more

    def on_connection_close(self) -> None:
        self.gone = True


ROUTES = [url(r"/orders/([^/]+)/events", Events)]
