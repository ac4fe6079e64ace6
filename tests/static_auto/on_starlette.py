"""FastAPI and Starlette with StaticFiles, and variants that have a say in what is served."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

FILES = Path(os.environ["STATIC_AUTO"])


def front(request: Request) -> PlainTextResponse:
    return PlainTextResponse("front")


def fastapi() -> FastAPI:
    app = FastAPI()
    app.mount("/static", StaticFiles(directory=FILES / "own"), name="static")
    app.add_route("/", front)
    return app


def routes() -> list[Mount | Route]:
    return [Route("/", front), Mount("/static", StaticFiles(directory=FILES / "own"))]


def starlette() -> Starlette:
    return Starlette(routes=routes())


def zipped() -> Starlette:
    return Starlette(routes=routes(), middleware=[Middleware(GZipMiddleware)])


def shadowed() -> Starlette:
    return Starlette(routes=[Route("/{folder}/special.css", front), *routes()])


class Guarded(StaticFiles):
    def is_not_modified(self, *_: object) -> bool:
        return False


def guarded() -> Starlette:
    return Starlette(routes=[Route("/", front), Mount("/static", Guarded(directory=FILES / "own"))])


class Private(Mount):
    """A mount that answers by itself."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("not for you", 403)(scope, receive, send)


def private() -> Starlette:
    return Starlette(routes=[Route("/", front), Private("/static", StaticFiles(directory=FILES / "own"))])


def hosted() -> Starlette:
    """The second mount stays with the application, for a reason that names an object of the process."""
    late = Mount("/late", StaticFiles(directory=FILES / "shop"))
    return Starlette(routes=[*routes(), Host("other.example", Router()), late])
