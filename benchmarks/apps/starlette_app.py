"""Starlette: a hello and a JSON list."""

from __future__ import annotations

from json_wsgi import RECORDS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello, World!")


async def as_json(request: Request) -> JSONResponse:
    return JSONResponse(RECORDS)


app = Starlette(routes=[Route("/", hello), Route("/json", as_json)])
