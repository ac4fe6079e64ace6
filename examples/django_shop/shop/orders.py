"""Orders: a page may watch what happens to one (Server-Sent Events)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_http_methods

from .models import Event


def add_event(request: HttpRequest, order_id: str) -> HttpResponse:
    status = json.loads(request.body)["status"]
    Event.objects.create(order_id=order_id, status=status)
    return JsonResponse({"status": status}, status=201)


def message(event: Event) -> str:
    return f"data: {json.dumps({'status': event.status})}\n\n"


def happened(order_id: str) -> Iterator[str]:
    """Each event as it happens, until the order is delivered."""
    last = 0
    while True:
        for event in Event.objects.filter(order_id=order_id, pk__gt=last).order_by("pk"):
            last = event.pk
            yield message(event)
            if event.status == "delivered":
                return
        time.sleep(0.02)


@require_http_methods(["GET", "HEAD", "POST"])
def events(request: HttpRequest, order_id: str) -> HttpResponse | StreamingHttpResponse:
    if request.method == "POST":
        return add_event(request, order_id)
    headers = {"Cache-Control": "no-store"}
    return StreamingHttpResponse(happened(order_id), content_type="text/event-stream", headers=headers)
