"""The front page and the items."""

from __future__ import annotations

from tornado.template import Template
from tornado.web import HTTPError, RedirectHandler, url

from . import db
from .handler import Handler

FRONT = Template(
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>\n'
    "<body><h1>Shop</h1><ul>\n"
    '{% for item in items %}<li><a href="/items/{{ item["id"] }}">{{ item["name"] }}</a> {{ item["note"] }}</li>\n'
    "{% end %}</ul></body></html>\n"
)


class Front(Handler):
    async def get(self) -> None:
        items = await self.off_loop(db.rows, "SELECT * FROM items ORDER BY id LIMIT 10")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(FRONT.generate(items=items))

    head = get


class Items(Handler):
    async def get(self) -> None:
        page, per_page = self.number("page", 1, least=1), self.number("per_page", 20, least=1)
        if per_page > 100:
            raise HTTPError(400, "per_page is too large")
        total = (await self.off_loop(db.rows, "SELECT count(*) AS n FROM items"))[0]["n"]
        statement = "SELECT * FROM items ORDER BY id LIMIT ? OFFSET ?"
        items = await self.off_loop(db.rows, statement, per_page, (page - 1) * per_page)
        self.answer({"items": items, "page": page, "per_page": per_page, "total": total})

    head = get

    async def post(self) -> None:
        new = self.json()
        name, price, note = new.get("name"), new.get("price"), new.get("note", "")
        if not (isinstance(name, str) and name and isinstance(note, str) and type(price) is int and price >= 0):
            raise HTTPError(400, "an item has a name and a price")
        statement = "INSERT INTO items (name, price, note) VALUES (?, ?, ?)"
        number = await self.off_loop(db.insert, statement, name, price, note)
        self.set_status(201)
        self.set_header("Location", self.reverse_url("item", number))
        self.answer({"id": number, "name": name, "price": price})


class Item(Handler):
    async def get(self, number: str) -> None:
        found = await self.off_loop(db.rows, "SELECT * FROM items WHERE id = ?", int(number))
        if not found:
            raise HTTPError(404)
        self.answer(found[0])


ROUTES = [
    url(r"/", Front),
    url(r"/items", Items),
    url(r"/items/([0-9]{1,9})", Item, name="item"),
    url(r"/old-items", RedirectHandler, {"url": "/items", "permanent": False}),
]
