"""Heads that must never reach a client as they are, and some that must."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from keeper import Receive, Send, StartResponse, asgi_app, wsgi_app

EVIL = "evil-part"
Pairs = list[tuple[str, str]]

# path: (status, fields, body)
HEADS: dict[str, tuple[Any, Any, bytes]] = {
    "/cr-lf": ("200 OK", [("X-A", f"b\r\nSet-Cookie: {EVIL}=1")], b"body"),
    "/lf": ("200 OK", [("X-A", f"b\nSet-Cookie: {EVIL}=1")], b"body"),
    "/cr": ("200 OK", [("X-A", f"b\r{EVIL}")], b"body"),
    "/nul": ("200 OK", [("X-A", f"b\0{EVIL}")], b"body"),
    "/esc": ("200 OK", [("X-A", f"\x1b[31m{EVIL}")], b"body"),
    "/name-space": ("200 OK", [(f"X {EVIL}", "b")], b"body"),
    "/name-colon": ("200 OK", [(f"X: {EVIL}", "b")], b"body"),
    "/name-cr-lf": ("200 OK", [(f"X\r\n{EVIL}", "b")], b"body"),
    "/name-8bit": ("200 OK", [(f"X\xe9{EVIL}", "b")], b"body"),
    "/name-empty": ("200 OK", [("", EVIL)], b"body"),
    "/status-cr-lf": (f"200 OK\r\nX-A: {EVIL}", [], b"body"),
    "/status-word": (EVIL, [], b"body"),
    "/status-low": ("099 Low", [("X-A", EVIL)], b"body"),
    "/status-high": ("1000 High", [("X-A", EVIL)], b"body"),
    "/length-word": ("200 OK", [("Content-Length", EVIL)], b"body"),
    "/length-twice": ("200 OK", [("Content-Length", "4"), ("Content-Length", "5"), ("X-A", EVIL)], b"body"),
    "/length-negative": ("200 OK", [("Content-Length", "-4"), ("X-A", EVIL)], b"body"),
    # These are fine, or can be made so.
    "/good-8bit": ("200 OK", [("X-A", "caf\xe9")], b"body"),
    "/good-repeats": ("200 OK", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-A", "1"), ("X-A", "2")], b"body"),
    "/good-empty": ("200 OK", [("X-A", "")], b"body"),
    "/good-status": ("299 Quite Fine", [], b"body"),
    "/hop-by-hop": (
        "200 OK",
        [
            ("Connection", "keep-alive, X-Gone"),
            ("Keep-Alive", "timeout=5"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
        ],
        b"body",
    ),
    "/length-short": ("200 OK", [("Content-Length", "4")], b"body and more than was said"),
    "/length-long": ("200 OK", [("Content-Length", "400")], b"body"),
    "/204-body": ("204 No Content", [], b"body"),
    "/204-length": ("204 No Content", [("Content-Length", "4")], b"body"),
    "/304-body": ("304 Not Modified", [("ETag", '"a"')], b"body"),
    "/304-length": ("304 Not Modified", [("Content-Length", "4")], b""),
    "/date": ("200 OK", [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "zoo")], b"body"),
}


def head(path: str, query: str) -> tuple[Any, Pairs, bytes]:
    if path == "/large":  # fields=N&bytes=M: N fields of M bytes
        asked = dict(pair.split("=") for pair in query.split("&"))
        return "200 OK", [("Set-Cookie", "c" * int(asked["bytes"]))] * int(asked["fields"]), b"body"
    if path == "/raw":  # the query is the value
        return "200 OK", [("X-A", unquote_to_bytes(query).decode("latin-1"))], b"body"
    return HEADS[path]


def wsgi_handler(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    status, fields, body = head(environ["PATH_INFO"], environ.get("QUERY_STRING", ""))
    start_response(status, list(fields))
    return [body]


async def asgi_handler(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    status, fields, body = head(scope["path"], scope["query_string"].decode("latin-1"))
    number: Any = status.split()[0]
    await send(
        {
            "type": "http.response.start",
            "status": int(number) if number.isdigit() else number,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields],
        }
    )
    await send({"type": "http.response.body", "body": body})


PATHS = (*HEADS, "/large", "/raw")
wsgi = wsgi_app(dict.fromkeys(PATHS, wsgi_handler))
asgi = asgi_app(dict.fromkeys(PATHS, asgi_handler))
