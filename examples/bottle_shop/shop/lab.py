"""The bench: what came in, and odd things going out."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from bottle import Bottle, abort, request, response

from . import db as database

routes = Bottle()
routes.install(database.Plugin())

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@routes.post("/echo")
def echo() -> bytes:
    response.content_type = request.content_type or "application/octet-stream"
    body: bytes = request.body.read()
    return body


@routes.route("/info", method=METHODS)
@routes.route("/info/<rest:path>", method=METHODS)
def info(rest: str = "") -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query_string,
        "headers": [[name.lower(), request.headers.raw(name)] for name in request.headers],
        "remote_addr": request.remote_addr,
        "scheme": request.urlparts.scheme,
        "host": request.get_header("Host"),
    }


@routes.route("/nonce", method=["GET", "POST"])
def nonce(db: sqlite3.Connection) -> dict[str, Any]:
    # The body is read whole first: a request that never arrived whole never counts.
    body = request.body.read()
    value = request.get_header("X-Nonce") or request.query.get("nonce")
    if not value and body:
        value = request.json["nonce"]
    if not value:
        abort(400, "no nonce in header, query or body")
    # RETURNING would need SQLite 3.35, newer than Python 3.9 does.
    db.execute("INSERT INTO nonces VALUES (?, 1) ON CONFLICT (nonce) DO UPDATE SET runs = runs + 1", (value,))
    runs = db.execute("SELECT runs FROM nonces WHERE nonce = ?", (value,)).fetchone()[0]
    return {"nonce": value, "runs": runs, "pad": "x" * request.query.get("pad", 0, type=int)}


@routes.get("/nonces")
def nonces(db: sqlite3.Connection) -> dict[str, int]:
    """How often each nonce with this prefix ran."""
    prefix = request.query.get("prefix", "")
    rows = db.execute("SELECT nonce, runs FROM nonces WHERE substr(nonce, 1, ?) = ?", (len(prefix), prefix))
    return {row["nonce"]: row["runs"] for row in rows}


@routes.get("/cookies/set")
def set_cookies() -> dict[str, list[str]]:
    for name, value in request.query.items():
        response.set_cookie(name, value, httponly=True, samesite="lax")
    return {"set": list(request.query)}


@routes.get("/cookies")
def cookies() -> dict[str, str]:
    return dict(request.cookies)


@routes.get("/slow")
def slow() -> dict[str, int]:
    ms = request.query.get("ms", 100, type=int)
    time.sleep(ms / 1000)
    return {"slept_ms": ms}


@routes.get("/large-header")
def large_header() -> dict[str, bool]:
    response.set_header("X-Large", "h" * request.query.get("bytes", 4096, type=int))
    return {"ok": True}


@routes.get("/empty")
def empty() -> None:
    response.status = 204


@routes.get("/error")
def error() -> str:
    raise RuntimeError("the till is broken")
