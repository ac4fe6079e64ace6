"""Bottle: a hello and a JSON list."""

from __future__ import annotations

import json

from bottle import Bottle, response
from json_wsgi import RECORDS

app = Bottle()


@app.get("/")
def hello() -> str:
    response.content_type = "text/plain; charset=utf-8"
    return "Hello, World!"


@app.get("/json")
def as_json() -> str:
    # Bottle turns a dict into JSON by itself, but not a list.
    response.content_type = "application/json"
    return json.dumps(RECORDS)
