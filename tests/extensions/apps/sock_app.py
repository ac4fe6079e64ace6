"""flask-sock: a WebSocket beside an ordinary route."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)


@app.route("/")
def index() -> str:
    return "flask-sock"


@sock.route("/echo")
def echo(ws: Any) -> None:
    while True:
        ws.send(ws.receive())
