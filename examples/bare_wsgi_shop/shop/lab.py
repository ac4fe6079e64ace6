"""The bench: what came in, and odd things going out."""

from __future__ import annotations

import json
import re
import time
from http.cookies import SimpleCookie

from . import db
from .http import Answer, Refused, Request, answer, json_answer

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def echo(request: Request) -> Answer:
    body = request.body()
    length = [("Content-Length", str(len(body)))]
    return answer(200, request.content_type or "application/octet-stream", [body], length)


def info(request: Request) -> Answer:
    environ = request.environ
    headers = [[key[5:].replace("_", "-").lower(), value] for key, value in environ.items() if key.startswith("HTTP_")]
    return json_answer(
        {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": headers,
            "remote_addr": environ.get("REMOTE_ADDR"),
            "scheme": environ["wsgi.url_scheme"],
            "host": environ.get("HTTP_HOST"),
        }
    )


def nonce(request: Request) -> Answer:
    # The body is read whole first: a request that never arrived whole never counts.
    body = request.body()
    value = request.header("X-Nonce") or request.params.get("nonce")
    if not value and body:
        value = json.loads(body)["nonce"]
    if not value:
        raise Refused(400, "no nonce in header, query or body")
    with db.session() as database:
        # RETURNING would need SQLite 3.35, newer than Python 3.9 does.
        database.execute("INSERT INTO nonces VALUES (?, 1) ON CONFLICT (nonce) DO UPDATE SET runs = runs + 1", (value,))
        runs = database.execute("SELECT runs FROM nonces WHERE nonce = ?", (value,)).fetchone()[0]
    return json_answer({"nonce": value, "runs": runs, "pad": "x" * request.number("pad", 0)})


def nonces(request: Request) -> Answer:
    """How often each nonce with this prefix ran."""
    prefix = request.params.get("prefix", "")
    with db.session() as database:
        rows = database.execute("SELECT nonce, runs FROM nonces WHERE substr(nonce, 1, ?) = ?", (len(prefix), prefix))
        return json_answer({row["nonce"]: row["runs"] for row in rows})


def set_cookies(request: Request) -> Answer:
    jar = SimpleCookie(request.params)
    for morsel in jar.values():
        morsel.update({"path": "/", "httponly": True, "samesite": "lax"})
    # A field of its own for each (RFC 6265 §3).
    fields = [("Set-Cookie", morsel.OutputString()) for morsel in jar.values()]
    return json_answer({"set": list(request.params)}, 200, fields)


def cookies(request: Request) -> Answer:
    return json_answer(request.cookies)


def slow(request: Request) -> Answer:
    ms = request.number("ms", 100)
    time.sleep(ms / 1000)
    return json_answer({"slept_ms": ms})


def large_header(request: Request) -> Answer:
    return json_answer({"ok": True}, 200, [("X-Large", "h" * request.number("bytes", 4096))])


def empty(request: Request) -> Answer:
    return "204 No Content", [], []


def error(request: Request) -> Answer:
    raise RuntimeError("the till is broken")


ROUTES = [
    (["POST"], re.compile("/echo"), echo),
    (METHODS, re.compile("/info(/.*)?", re.DOTALL), info),
    (["GET", "POST"], re.compile("/nonce"), nonce),
    (["GET"], re.compile("/nonces"), nonces),
    (["GET"], re.compile("/cookies/set"), set_cookies),
    (["GET"], re.compile("/cookies"), cookies),
    (["GET"], re.compile("/slow"), slow),
    (["GET"], re.compile("/large-header"), large_header),
    (["GET"], re.compile("/empty"), empty),
    (["GET"], re.compile("/error"), error),
]
