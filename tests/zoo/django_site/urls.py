"""One view per way in which a request may end."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path


def ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def plain(request: HttpRequest) -> HttpResponse:
    ask_database()
    return HttpResponse(f"{settings.NAME} {type(request).__name__}")


def raises(request: HttpRequest) -> HttpResponse:
    ask_database()
    raise RuntimeError("a view failed")


def file(request: HttpRequest) -> FileResponse:
    ask_database()
    return FileResponse(io.BytesIO(b"f" * 200_000))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """For ever with ?endless, else three pieces."""
    ask_database()
    endless = "endless" in request.GET

    def pieces() -> Iterator[bytes]:
        n = 0
        while endless or n < 3:
            n += 1
            yield b"piece\n" * 1000
            time.sleep(0.002)

    async def async_pieces() -> AsyncIterator[bytes]:
        n = 0
        while endless or n < 3:
            n += 1
            yield b"piece\n" * 1000
            await asyncio.sleep(0.002)

    return StreamingHttpResponse(async_pieces() if isinstance(request, ASGIRequest) else pieces())


def big(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"b" * 200_000)


def lying(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"12345", headers={"Content-Length": "3"})


class Lazy(HttpResponse):
    """It has the content of its class, and gives another one, bit by bit."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"first "
        yield b"second"


def lazy(request: HttpRequest) -> HttpResponse:
    return Lazy(b"not this")


urlpatterns = [
    *(path("", plain), path("raises", raises), path("file", file), path("stream", stream)),
    *(path("big", big), path("lying", lying), path("lazy", lazy)),
]
