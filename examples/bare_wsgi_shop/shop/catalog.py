"""The front page and the items."""

from __future__ import annotations

import html
import re

from . import db
from .http import Answer, Refused, Request, answer, json_answer


def front(request: Request) -> Answer:
    with db.session() as database:
        rows = database.execute("SELECT * FROM items ORDER BY id LIMIT 10").fetchall()
    lines = "\n".join(
        f'<li><a href="/items/{row["id"]}">{html.escape(row["name"])}</a> {html.escape(row["note"])}</li>'
        for row in rows
    )
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>\n'
        f"<body><h1>Shop</h1><ul>\n{lines}\n</ul></body></html>\n"
    )
    return answer(200, "text/html; charset=utf-8", [page.encode()])


def list_items(request: Request) -> Answer:
    page, per_page = request.number("page", 1), request.number("per_page", 20)
    if page < 1 or not 1 <= per_page <= 100:
        raise Refused(400)
    with db.session() as database:
        total = database.execute("SELECT count(*) FROM items").fetchone()[0]
        rows = database.execute(
            "SELECT * FROM items ORDER BY id LIMIT ? OFFSET ?", (per_page, (page - 1) * per_page)
        ).fetchall()
    return json_answer({"items": [dict(row) for row in rows], "page": page, "per_page": per_page, "total": total})


def item(request: Request) -> Answer:
    with db.session() as database:
        row = database.execute("SELECT * FROM items WHERE id = ?", (int(request.args["id"]),)).fetchone()
    if row is None:
        raise Refused(404, "nothing is sold here")
    return json_answer(dict(row))


def create_item(request: Request) -> Answer:
    data = request.json()
    name, price = data.get("name"), data.get("price")
    if not isinstance(name, str) or not name or not isinstance(price, int) or price < 0:
        raise Refused(400, "an item needs a name and a price of 0 or more")
    with db.session() as database:
        cursor = database.execute(
            "INSERT INTO items (name, price, note) VALUES (?, ?, ?)", (name, price, str(data.get("note", "")))
        )
    location = [("Location", f"/items/{cursor.lastrowid}")]
    return json_answer({"id": cursor.lastrowid, "name": name, "price": price}, 201, location)


def old_items(request: Request) -> Answer:
    return answer(302, "text/plain", [b"moved to /items\n"], [("Location", "/items")])


ROUTES = [
    (["GET"], re.compile("/"), front),
    (["GET"], re.compile("/items"), list_items),
    (["POST"], re.compile("/items"), create_item),
    (["GET"], re.compile(r"/items/(?P<id>\d+)", re.ASCII), item),
    (["GET"], re.compile("/old-items"), old_items),
]
