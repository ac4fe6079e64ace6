"""Uploads in two forms, and downloads that are produced while they are sent."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from functools import partial

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .models import Upload
from .query import number

MAX_UPLOAD = 50 * 1024 * 1024
BLOCK = bytes(range(256)) * 256


def store(name: str, chunks: Iterable[bytes]) -> HttpResponse:
    sha256, size = hashlib.sha256(), 0
    for chunk in chunks:
        sha256.update(chunk)
        size += len(chunk)
    if size > MAX_UPLOAD:
        return HttpResponse(status=413)
    upload = Upload(name=name, size=size, sha256=sha256.hexdigest())
    # An upsert, one statement: update_or_create() reads first, and SQLite then may not let it write.
    Upload.objects.bulk_create(
        [upload], update_conflicts=True, unique_fields=["name"], update_fields=["size", "sha256"]
    )
    return JsonResponse(upload.as_dict(), status=201)


@require_POST
def upload_form(request: HttpRequest) -> HttpResponse:
    file = request.FILES.get("file")
    if file is None or not file.name:
        return HttpResponseBadRequest("the form needs a file")
    return store(file.name, file.chunks())


@require_http_methods(["GET", "HEAD", "PUT"])
def upload(request: HttpRequest, name: str) -> HttpResponse:
    if request.method == "PUT":
        return store(name, iter(partial(request.read, 64 * 1024), b""))
    return JsonResponse(get_object_or_404(Upload, pk=name).as_dict())


@require_safe
def download(request: HttpRequest) -> StreamingHttpResponse:
    mib = number(request, "mib", 1)
    length = {"Content-Length": str(mib * 1024 * 1024)} if "length" in request.GET else {}
    blocks = (BLOCK for _ in range(mib * 16))
    return StreamingHttpResponse(blocks, content_type="application/octet-stream", headers=length)


@require_safe
def stream(request: HttpRequest) -> StreamingHttpResponse:
    chunks, pause = number(request, "chunks", 5), number(request, "interval_ms", 100) / 1000

    def lines() -> Iterator[str]:
        for n in range(chunks):
            if n:
                time.sleep(pause)
            yield f"chunk {n}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")
