"""A FastAPI application that answers as caching.py does; in a thread, as it may wait."""

from __future__ import annotations

from caching import answer
from fastapi import FastAPI, Request, Response

asgi = FastAPI()


@asgi.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "DELETE"])
def anything(request: Request) -> Response:
    status, headers, body = answer(request.url.path, request.url.query, request.headers)
    response = Response(body, status)
    response.raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers]
    return response
