"""The front page and the items."""

from __future__ import annotations

import html
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field

from .db import Database

router = APIRouter()


class NewItem(BaseModel):
    name: str = Field(min_length=1)
    price: int = Field(ge=0)
    note: str = ""


class CreatedItem(BaseModel):
    id: int
    name: str
    price: int


@router.api_route("/", methods=["GET", "HEAD"], response_class=HTMLResponse)
def front(database: Database) -> str:
    rows = database.execute("SELECT * FROM items ORDER BY id LIMIT 10")
    lines = "\n".join(
        f'<li><a href="/items/{row["id"]}">{html.escape(row["name"])}</a> {html.escape(row["note"])}</li>'
        for row in rows
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>\n'
        f"<body><h1>Shop</h1><ul>\n{lines}\n</ul></body></html>\n"
    )


@router.api_route("/items", methods=["GET", "HEAD"])
def list_items(
    database: Database,
    page: Annotated[int, Query(ge=1)] = 1,
    per_page: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    total = database.execute("SELECT count(*) FROM items").fetchone()[0]
    rows = database.execute("SELECT * FROM items ORDER BY id LIMIT ? OFFSET ?", (per_page, (page - 1) * per_page))
    return {"items": [dict(row) for row in rows], "page": page, "per_page": per_page, "total": total}


@router.get("/items/{item_id}")
def item(item_id: int, database: Database) -> dict[str, Any]:
    row = database.execute("SELECT * FROM items WHERE id = ?", (item_id,)).fetchone()
    if row is None:
        raise HTTPException(404)
    return dict(row)


@router.post("/items", status_code=201)
def create_item(new: NewItem, request: Request, response: Response, database: Database) -> CreatedItem:
    cursor = database.execute("INSERT INTO items (name, price, note) VALUES (?, ?, ?)", (new.name, new.price, new.note))
    assert cursor.lastrowid is not None
    response.headers["Location"] = request.app.url_path_for("item", item_id=cursor.lastrowid)
    return CreatedItem(id=cursor.lastrowid, name=new.name, price=new.price)


@router.get("/old-items")
def old_items() -> RedirectResponse:
    return RedirectResponse("/items", 302)
