"""A small shop over SQLite, in Starlette.

Endpoints that ask the database are plain functions, which Starlette runs in threads; those that wait
for the client or for time are coroutines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from . import catalog, db, files, lab, orders


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    db.prepare()
    yield


async def http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return JSONResponse({"error": "nothing is sold here", "path": request.url.path}, 404)
    return PlainTextResponse(error.detail, error.status_code, error.headers)


def create_app() -> Starlette:
    return Starlette(
        routes=[*catalog.routes, *files.routes, *lab.routes, *orders.routes],
        exception_handlers={HTTPException: http_error},
        lifespan=lifespan,
    )
