"""Reads the request's cookies with the standard library, and sets two, as a session does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http.cookies import SimpleCookie
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    session = cookies["sessionid"].value if "sessionid" in cookies else "new"
    fields = [
        ("Content-Type", "text/plain"),
        ("Content-Length", "13"),
        ("Set-Cookie", f"sessionid={session}; Path=/; HttpOnly; SameSite=Lax; Max-Age=1209600"),
        ("Set-Cookie", "seen=1; Path=/; SameSite=Lax"),
    ]
    start_response("200 OK", fields)
    return [b"Hello, World!"]
