"""The front page and the items."""

from __future__ import annotations

import asyncio
import html
import re
from typing import Any

from . import db
from .http import Refused, Request, Send, send_json, send_whole


def first_items() -> list[dict[str, Any]]:
    with db.session() as database:
        return [dict(row) for row in database.execute("SELECT * FROM items ORDER BY id LIMIT 10")]


def items_of_page(page: int, per_page: int) -> dict[str, Any]:
    with db.session() as database:
        total = database.execute("SELECT count(*) FROM items").fetchone()[0]
        rows = database.execute(
            "SELECT * FROM items ORDER BY id LIMIT ? OFFSET ?", (per_page, (page - 1) * per_page)
        ).fetchall()
    return {"items": [dict(row) for row in rows], "page": page, "per_page": per_page, "total": total}


def one_item(item_id: int) -> dict[str, Any] | None:
    with db.session() as database:
        row = database.execute("SELECT * FROM items WHERE id = ?", (item_id,)).fetchone()
    return None if row is None else dict(row)


def insert(name: str, price: int, note: str) -> int | None:
    with db.session() as database:
        return database.execute("INSERT INTO items (name, price, note) VALUES (?, ?, ?)", (name, price, note)).lastrowid


async def front(request: Request, send: Send) -> None:
    lines = "\n".join(
        f'<li><a href="/items/{row["id"]}">{html.escape(row["name"])}</a> {html.escape(row["note"])}</li>'
        for row in await asyncio.to_thread(first_items)
    )
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>\n'
        f"<body><h1>Shop</h1><ul>\n{lines}\n</ul></body></html>\n"
    )
    await send_whole(send, 200, "text/html; charset=utf-8", page.encode())


async def list_items(request: Request, send: Send) -> None:
    page, per_page = request.number("page", 1), request.number("per_page", 20)
    if page < 1 or not 1 <= per_page <= 100:
        raise Refused(400)
    await send_json(send, await asyncio.to_thread(items_of_page, page, per_page))


async def item(request: Request, send: Send) -> None:
    found = await asyncio.to_thread(one_item, int(request.args["id"]))
    if found is None:
        raise Refused(404, "nothing is sold here")
    await send_json(send, found)


async def create_item(request: Request, send: Send) -> None:
    data = await request.json()
    name, price = data.get("name"), data.get("price")
    if not isinstance(name, str) or not name or not isinstance(price, int) or price < 0:
        raise Refused(400, "an item needs a name and a price of 0 or more")
    item_id = await asyncio.to_thread(insert, name, price, str(data.get("note", "")))
    await send_json(send, {"id": item_id, "name": name, "price": price}, 201, [("location", f"/items/{item_id}")])


async def old_items(request: Request, send: Send) -> None:
    await send_whole(send, 302, "text/plain", b"moved to /items\n", [("location", "/items")])


ROUTES = [
    (["GET"], re.compile("/"), front),
    (["GET"], re.compile("/items"), list_items),
    (["POST"], re.compile("/items"), create_item),
    (["GET"], re.compile(r"/items/(?P<id>\d+)", re.ASCII), item),
    (["GET"], re.compile("/old-items"), old_items),
]
