"""Views of the ASGI entry that wait for time, for the client or for the database without a thread of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from .files import BLOCK
from .models import Event, Item
from .orders import add_event, message
from .query import number


async def item(request: HttpRequest, item_id: int) -> HttpResponse:
    try:
        return JsonResponse((await Item.objects.aget(pk=item_id)).as_dict())
    except Item.DoesNotExist:
        raise Http404 from None


async def download(request: HttpRequest) -> StreamingHttpResponse:
    mib = number(request, "mib", 1)

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(mib * 16):
            yield BLOCK

    length = {"Content-Length": str(mib * 1024 * 1024)} if "length" in request.GET else {}
    return StreamingHttpResponse(blocks(), content_type="application/octet-stream", headers=length)


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    chunks, pause = number(request, "chunks", 5), number(request, "interval_ms", 100) / 1000

    async def lines() -> AsyncIterator[str]:
        for n in range(chunks):
            if n:
                await asyncio.sleep(pause)
            yield f"chunk {n}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def happened(order_id: str) -> AsyncIterator[str]:
    """Each event as it happens, until the order is delivered."""
    last = 0
    while True:
        async for event in Event.objects.filter(order_id=order_id, pk__gt=last).order_by("pk"):
            last = event.pk
            yield message(event)
            if event.status == "delivered":
                return
        await asyncio.sleep(0.02)


async def events(request: HttpRequest, order_id: str) -> HttpResponse | StreamingHttpResponse:
    if request.method == "POST":
        return await sync_to_async(add_event)(request, order_id)
    headers = {"Cache-Control": "no-store"}
    return StreamingHttpResponse(happened(order_id), content_type="text/event-stream", headers=headers)


async def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type=request.content_type or "application/octet-stream")


async def slow(request: HttpRequest) -> HttpResponse:
    ms = number(request, "ms", 100)
    await asyncio.sleep(ms / 1000)
    return JsonResponse({"slept_ms": ms})
