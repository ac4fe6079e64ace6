"""Flask: a hello, a JSON list, and the routes that wrk/get_mix.lua asks for."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request
from json_wsgi import RECORDS

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return "Hello, World!"


@app.get("/json")
def as_json() -> Response:
    return jsonify(RECORDS)


@app.get("/message")
def message() -> dict[str, Any]:
    return {"message": "Hello, World!", "items": [1, 2, 3]}


@app.get("/items/<int:number>")
def item(number: int) -> dict[str, Any]:
    return {"item": number, "verbose": request.args.get("verbose") == "1"}


@app.get("/search")
def search() -> str:
    return f"results for {request.args.get('q', '')}"


@app.get("/<path:rest>")
def other(rest: str) -> str:
    return f"nothing at {rest}"
