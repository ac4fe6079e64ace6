"""The front page and the items."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template_string, request, url_for

from . import db

bp = Blueprint("catalog", __name__)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>
<body><h1>Shop</h1><ul>
{% for item in items %}<li><a href="/items/{{ item.id }}">{{ item.name }}</a> {{ item.note }}</li>
{% endfor %}</ul></body></html>
"""


@bp.get("/")
def front() -> str:
    items = db.get().execute("SELECT * FROM items ORDER BY id LIMIT 10").fetchall()
    return render_template_string(PAGE, items=items)


@bp.get("/items")
def list_items() -> Any:
    page = request.args.get("page", 1, type=int)
    per_page = request.args.get("per_page", 20, type=int)
    if page < 1 or not 1 <= per_page <= 100:
        abort(400)
    total = db.get().execute("SELECT count(*) FROM items").fetchone()[0]
    rows = db.get().execute("SELECT * FROM items ORDER BY id LIMIT ? OFFSET ?", (per_page, (page - 1) * per_page))
    return jsonify(items=[dict(row) for row in rows], page=page, per_page=per_page, total=total)


@bp.get("/items/<int:item_id>")
def item(item_id: int) -> Any:
    row = db.get().execute("SELECT * FROM items WHERE id = ?", (item_id,)).fetchone()
    if row is None:
        abort(404)
    return jsonify(dict(row))


@bp.post("/items")
def create_item() -> Any:
    data = request.get_json()
    name, price = data.get("name"), data.get("price")
    if not isinstance(name, str) or not name or not isinstance(price, int) or price < 0:
        return jsonify(error="an item needs a name and a price of 0 or more"), 400
    cursor = db.get().execute(
        "INSERT INTO items (name, price, note) VALUES (?, ?, ?)", (name, price, str(data.get("note", "")))
    )
    created = {"id": cursor.lastrowid, "name": name, "price": price}
    return jsonify(created), 201, {"Location": url_for("catalog.item", item_id=cursor.lastrowid)}


@bp.get("/old-items")
def old_items() -> Response:
    answer = redirect(url_for("catalog.list_items"))
    assert isinstance(answer, Response)
    return answer
