"""Tornado: a short text, and the list of json_wsgi.py."""

from __future__ import annotations

import json

from tornado.web import Application, RequestHandler

RECORDS = [
    {"id": n, "name": f"record {n}", "price": n * 1.25, "tags": ["a", "b", "c"], "active": n % 3 == 0}
    for n in range(50)
]


class Hello(RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "text/plain")
        self.write("Hello, World!")


class Json(RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(RECORDS))


def quiet(_handler: RequestHandler) -> None:
    """No line per request, as the other applications here."""


app = Application([("/", Hello), ("/json", Json)], log_function=quiet)
