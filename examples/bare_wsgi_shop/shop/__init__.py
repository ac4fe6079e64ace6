"""A small shop over SQLite, in WSGI alone (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import catalog, db, files, lab, orders
from .http import Answer, Refused, Request, json_answer

ROUTES = [*catalog.ROUTES, *files.ROUTES, *lab.ROUTES, *orders.ROUTES]


def find(request: Request) -> Callable[..., Answer]:
    """The handler of the request; the groups of its path's pattern go into ``request.args``."""
    allowed = set()
    for methods, pattern, handler in ROUTES:
        match = pattern.fullmatch(request.path)
        if match is None:
            continue
        # RFC 9110 §9.3.2: HEAD is GET without the content, which the server leaves out.
        if request.method in methods or (request.method == "HEAD" and "GET" in methods):
            request.args = match.groupdict()
            return handler
        allowed.update(methods)
    if allowed:
        raise Refused(405, "this page does not take that method", [("Allow", ", ".join(sorted(allowed)))])
    raise Refused(404, "nothing is sold here")


def answer_to(request: Request) -> Answer:
    try:
        return find(request)(request)
    except Refused as refused:
        return json_answer({"error": refused.reason, "path": request.path}, refused.status, refused.headers)


def create_app() -> Callable[..., Iterable[bytes]]:
    db.prepare()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, headers, body = answer_to(Request(environ))
        start_response(status, headers)
        return body

    return application
