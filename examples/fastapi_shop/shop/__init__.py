"""A small shop over SQLite, in FastAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from . import catalog, db, files, lab, orders


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    db.prepare()
    yield


async def not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code != 404:
        return await http_exception_handler(request, error)
    return JSONResponse({"error": "nothing is sold here", "path": request.url.path}, 404)


def create_app() -> FastAPI:
    app = FastAPI(title="Shop", lifespan=lifespan)
    for module in (catalog, files, lab, orders):
        app.include_router(module.router)
    app.add_exception_handler(HTTPException, not_found)
    return app
