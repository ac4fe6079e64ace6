"""The front page and the items."""

from __future__ import annotations

import html
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from . import db
from .query import number


def front(request: Request) -> HTMLResponse:
    with db.session() as database:
        rows = database.execute("SELECT * FROM items ORDER BY id LIMIT 10").fetchall()
    lines = "\n".join(
        f'<li><a href="/items/{row["id"]}">{html.escape(row["name"])}</a> {html.escape(row["note"])}</li>'
        for row in rows
    )
    return HTMLResponse(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>\n'
        f"<body><h1>Shop</h1><ul>\n{lines}\n</ul></body></html>\n"
    )


def list_items(request: Request) -> JSONResponse:
    page, per_page = number(request, "page", 1), number(request, "per_page", 20)
    if page < 1 or not 1 <= per_page <= 100:
        raise HTTPException(400)
    with db.session() as database:
        total = database.execute("SELECT count(*) FROM items").fetchone()[0]
        rows = database.execute(
            "SELECT * FROM items ORDER BY id LIMIT ? OFFSET ?", (per_page, (page - 1) * per_page)
        ).fetchall()
    return JSONResponse({"items": [dict(row) for row in rows], "page": page, "per_page": per_page, "total": total})


def item(request: Request) -> JSONResponse:
    with db.session() as database:
        row = database.execute("SELECT * FROM items WHERE id = ?", (request.path_params["item_id"],)).fetchone()
    if row is None:
        raise HTTPException(404)
    return JSONResponse(dict(row))


def insert(name: str, price: int, note: str) -> int:
    with db.session() as database:
        cursor = database.execute("INSERT INTO items (name, price, note) VALUES (?, ?, ?)", (name, price, note))
        assert cursor.lastrowid is not None
        return cursor.lastrowid


async def create_item(request: Request) -> Response:
    data: dict[str, Any] = await request.json()
    name, price = data.get("name"), data.get("price")
    if not isinstance(name, str) or not name or not isinstance(price, int) or price < 0:
        return JSONResponse({"error": "an item needs a name and a price of 0 or more"}, 400)
    item_id = await run_in_threadpool(insert, name, price, str(data.get("note", "")))
    location = str(request.app.url_path_for("item", item_id=item_id))
    return JSONResponse({"id": item_id, "name": name, "price": price}, 201, {"Location": location})


async def old_items(request: Request) -> RedirectResponse:
    return RedirectResponse("/items", 302)


routes = [
    Route("/", front),
    Route("/items", list_items),
    Route("/items", create_item, methods=["POST"]),
    Route("/items/{item_id:int}", item, name="item"),
    Route("/old-items", old_items),
]
