"""The bench: what came in, and odd things going out."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request

from . import db

bp = Blueprint("lab", __name__)

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@bp.post("/echo")
def echo() -> Response:
    return Response(request.get_data(), mimetype=request.mimetype or "application/octet-stream")


@bp.route("/info", methods=METHODS)
@bp.route("/info/<path:rest>", methods=METHODS)
def info(rest: str = "") -> Any:
    return jsonify(
        method=request.method,
        path=request.path,
        query=request.query_string.decode("latin-1"),
        headers=[[name.lower(), value] for name, value in request.headers.items()],
        remote_addr=request.remote_addr,
        scheme=request.scheme,
        host=request.host,
    )


@bp.route("/nonce", methods=["GET", "POST"])
def nonce() -> Any:
    # The body is read whole first: a request that never arrived whole never counts.
    body = request.get_data()
    value = request.headers.get("X-Nonce") or request.args.get("nonce")
    if not value and body:
        value = request.get_json()["nonce"]
    if not value:
        abort(400, "no nonce in header, query or body")
    # RETURNING would need SQLite 3.35, newer than Python 3.9 does.
    db.get().execute("INSERT INTO nonces VALUES (?, 1) ON CONFLICT (nonce) DO UPDATE SET runs = runs + 1", (value,))
    runs = db.get().execute("SELECT runs FROM nonces WHERE nonce = ?", (value,)).fetchone()[0]
    return jsonify(nonce=value, runs=runs, pad="x" * request.args.get("pad", 0, type=int))


@bp.get("/nonces")
def nonces() -> Any:
    """How often each nonce with this prefix ran."""
    prefix = request.args.get("prefix", "")
    rows = db.get().execute("SELECT nonce, runs FROM nonces WHERE substr(nonce, 1, ?) = ?", (len(prefix), prefix))
    return jsonify({row["nonce"]: row["runs"] for row in rows})


@bp.get("/cookies/set")
def set_cookies() -> Response:
    answer = jsonify(set=list(request.args))
    for name, value in request.args.items():
        answer.set_cookie(name, value, httponly=True, samesite="Lax")
    return answer


@bp.get("/cookies")
def cookies() -> Any:
    return jsonify(dict(request.cookies))


@bp.get("/slow")
def slow() -> Any:
    ms = request.args.get("ms", 100, type=int)
    time.sleep(ms / 1000)
    return jsonify(slept_ms=ms)


@bp.get("/large-header")
def large_header() -> Any:
    return jsonify(ok=True), 200, {"X-Large": "h" * request.args.get("bytes", 4096, type=int)}


@bp.get("/empty")
def empty() -> Any:
    return "", 204


@bp.get("/error")
def error() -> str:
    raise RuntimeError("the till is broken")
