"""The bench: what came in, and odd things going out."""

from __future__ import annotations

import time
from typing import Any

from pyramid.httpexceptions import HTTPBadRequest, HTTPNoContent
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from .query import number


@view_config(route_name="echo", request_method="POST")
def echo(request: Request) -> Response:
    return Response(body=request.body, content_type=request.content_type or "application/octet-stream")


@view_config(route_name="info", renderer="json")
@view_config(route_name="info_path", renderer="json")
def info(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path_info,
        "query": request.query_string,
        "headers": [[name.lower(), value] for name, value in request.headers.items()],
        "remote_addr": request.remote_addr,
        "scheme": request.scheme,
        "host": request.host,
    }


@view_config(route_name="nonce", request_method=("GET", "POST"), renderer="json")
def nonce(request: Request) -> dict[str, Any]:
    # The body is read whole first: a request that never arrived whole never counts.
    body = request.body
    value = request.headers.get("X-Nonce") or request.GET.get("nonce")
    if not value and body:
        value = request.json_body["nonce"]
    if not value:
        raise HTTPBadRequest("no nonce in header, query or body")
    # RETURNING would need SQLite 3.35, newer than Python 3.9 does.
    request.db.execute("INSERT INTO nonces VALUES (?, 1) ON CONFLICT (nonce) DO UPDATE SET runs = runs + 1", (value,))
    runs = request.db.execute("SELECT runs FROM nonces WHERE nonce = ?", (value,)).fetchone()[0]
    return {"nonce": value, "runs": runs, "pad": "x" * number(request, "pad", 0)}


@view_config(route_name="nonces", request_method="GET", renderer="json")
def nonces(request: Request) -> dict[str, int]:
    """How often each nonce with this prefix ran."""
    prefix = request.GET.get("prefix", "")
    rows = request.db.execute("SELECT nonce, runs FROM nonces WHERE substr(nonce, 1, ?) = ?", (len(prefix), prefix))
    return {row["nonce"]: row["runs"] for row in rows}


@view_config(route_name="set_cookies", request_method="GET", renderer="json")
def set_cookies(request: Request) -> dict[str, list[str]]:
    for name, value in request.GET.items():
        request.response.set_cookie(name, value, httponly=True, samesite="lax")
    return {"set": list(request.GET)}


@view_config(route_name="cookies", request_method="GET", renderer="json")
def cookies(request: Request) -> dict[str, str]:
    return dict(request.cookies)


@view_config(route_name="slow", request_method="GET", renderer="json")
def slow(request: Request) -> dict[str, int]:
    ms = number(request, "ms", 100)
    time.sleep(ms / 1000)
    return {"slept_ms": ms}


@view_config(route_name="large_header", request_method="GET", renderer="json")
def large_header(request: Request) -> dict[str, bool]:
    request.response.headers["X-Large"] = "h" * number(request, "bytes", 4096)
    return {"ok": True}


@view_config(route_name="empty", request_method="GET")
def empty(request: Request) -> HTTPNoContent:
    return HTTPNoContent()


@view_config(route_name="error")
def error(request: Request) -> Response:
    raise RuntimeError("the till is broken")
