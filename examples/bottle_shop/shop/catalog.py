"""The front page and the items."""

from __future__ import annotations

import sqlite3
from typing import Any

from bottle import Bottle, SimpleTemplate, abort, redirect, request, response

from . import db as database

routes = Bottle()
routes.install(database.Plugin())

PAGE = SimpleTemplate("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>
<body><h1>Shop</h1><ul>
% for item in items:
<li><a href="/items/{{item["id"]}}">{{item["name"]}}</a> {{item["note"]}}</li>
% end
</ul></body></html>
""")


@routes.get("/")
def front(db: sqlite3.Connection) -> str:
    response.content_type = "text/html; charset=utf-8"
    page: str = PAGE.render(items=db.execute("SELECT * FROM items ORDER BY id LIMIT 10").fetchall())
    return page


@routes.get("/items")
def list_items(db: sqlite3.Connection) -> dict[str, Any]:
    page = request.query.get("page", 1, type=int)
    per_page = request.query.get("per_page", 20, type=int)
    if page < 1 or not 1 <= per_page <= 100:
        abort(400)
    total = db.execute("SELECT count(*) FROM items").fetchone()[0]
    rows = db.execute("SELECT * FROM items ORDER BY id LIMIT ? OFFSET ?", (per_page, (page - 1) * per_page))
    return {"items": [dict(row) for row in rows], "page": page, "per_page": per_page, "total": total}


@routes.get("/items/<item_id:int>", name="item")
def item(item_id: int, db: sqlite3.Connection) -> dict[str, Any]:
    row = db.execute("SELECT * FROM items WHERE id = ?", (item_id,)).fetchone()
    if row is None:
        abort(404)
    return dict(row)


@routes.post("/items")
def create_item(db: sqlite3.Connection) -> dict[str, Any]:
    data = request.json or {}
    name, price = data.get("name"), data.get("price")
    if not isinstance(name, str) or not name or not isinstance(price, int) or price < 0:
        response.status = 400
        return {"error": "an item needs a name and a price of 0 or more"}
    cursor = db.execute(
        "INSERT INTO items (name, price, note) VALUES (?, ?, ?)", (name, price, str(data.get("note", "")))
    )
    response.status = 201
    response.set_header("Location", request.app.get_url("item", item_id=cursor.lastrowid))
    return {"id": cursor.lastrowid, "name": name, "price": price}


@routes.get("/old-items")
def old_items() -> None:
    redirect("/items", 302)
