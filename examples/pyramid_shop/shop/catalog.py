"""The front page and the items."""

from __future__ import annotations

from html import escape
from typing import Any

from pyramid.httpexceptions import HTTPBadRequest, HTTPFound, HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import notfound_view_config, view_config

from .query import number


@view_config(route_name="front", request_method="GET")
def front(request: Request) -> Response:
    rows = request.db.execute("SELECT * FROM items ORDER BY id LIMIT 10")
    lines = "\n".join(
        f'<li><a href="{request.route_path("item", id=row["id"])}">{escape(row["name"])}</a> {escape(row["note"])}</li>'
        for row in rows
    )
    return Response(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>\n'
        f"<body><h1>Shop</h1><ul>\n{lines}\n</ul></body></html>\n",
        content_type="text/html",
        charset="utf-8",
    )


@view_config(route_name="items", request_method="GET", renderer="json")
def list_items(request: Request) -> dict[str, Any]:
    page, per_page = number(request, "page", 1), number(request, "per_page", 20)
    if page < 1 or not 1 <= per_page <= 100:
        raise HTTPBadRequest()
    total = request.db.execute("SELECT count(*) FROM items").fetchone()[0]
    rows = request.db.execute("SELECT * FROM items ORDER BY id LIMIT ? OFFSET ?", (per_page, (page - 1) * per_page))
    return {"items": [dict(row) for row in rows], "page": page, "per_page": per_page, "total": total}


@view_config(route_name="item", request_method="GET", renderer="json")
def item(request: Request) -> dict[str, Any]:
    row = request.db.execute("SELECT * FROM items WHERE id = ?", (int(request.matchdict["id"]),)).fetchone()
    if row is None:
        raise HTTPNotFound()
    return dict(row)


@view_config(route_name="items", request_method="POST", renderer="json")
def create_item(request: Request) -> dict[str, Any]:
    data = request.json_body
    name, price = data.get("name"), data.get("price")
    if not isinstance(name, str) or not name or not isinstance(price, int) or price < 0:
        request.response.status = 400
        return {"error": "an item needs a name and a price of 0 or more"}
    cursor = request.db.execute(
        "INSERT INTO items (name, price, note) VALUES (?, ?, ?)", (name, price, str(data.get("note", "")))
    )
    request.response.status = 201
    request.response.location = request.route_path("item", id=cursor.lastrowid)
    return {"id": cursor.lastrowid, "name": name, "price": price}


@view_config(route_name="old_items", request_method="GET")
def old_items(request: Request) -> HTTPFound:
    return HTTPFound(request.route_path("items"))


@notfound_view_config(renderer="json")
def not_found(request: Request) -> dict[str, str]:
    request.response.status = 404
    return {"error": "nothing is sold here", "path": request.path_info}
