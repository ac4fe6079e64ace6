"""Uploads in two forms, and downloads that are produced while they are sent."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import IO, Any

from pyramid.httpexceptions import HTTPBadRequest, HTTPNotFound, HTTPRequestEntityTooLarge
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from .query import number

MAX_UPLOAD = 50 * 1024 * 1024
BLOCK = bytes(range(256)) * 256


def store(request: Request, name: str, content: IO[bytes]) -> dict[str, Any]:
    sha256, size = hashlib.sha256(), 0
    while chunk := content.read(64 * 1024):
        sha256.update(chunk)
        size += len(chunk)
    if size > MAX_UPLOAD:
        raise HTTPRequestEntityTooLarge()
    request.db.execute(
        "INSERT INTO uploads VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET size = excluded.size, sha256 = excluded.sha256",
        (name, size, sha256.hexdigest()),
    )
    request.response.status = 201
    return {"name": name, "size": size, "sha256": sha256.hexdigest()}


@view_config(route_name="uploads", request_method="POST", renderer="json")
def upload_form(request: Request) -> dict[str, Any]:
    file = request.POST.get("file")
    if not getattr(file, "filename", ""):
        raise HTTPBadRequest("the form needs a file")
    return store(request, file.filename, file.file)


@view_config(route_name="upload", request_method="PUT", renderer="json")
def upload_raw(request: Request) -> dict[str, Any]:
    return store(request, request.matchdict["name"], request.body_file)


@view_config(route_name="upload", request_method="GET", renderer="json")
def upload(request: Request) -> dict[str, Any]:
    row = request.db.execute("SELECT * FROM uploads WHERE name = ?", (request.matchdict["name"],)).fetchone()
    if row is None:
        raise HTTPNotFound()
    return dict(row)


@view_config(route_name="download", request_method="GET")
def download(request: Request) -> Response:
    mib = number(request, "mib", 1)
    answer = Response(app_iter=(BLOCK for _ in range(mib * 16)), content_type="application/octet-stream")
    if "length" in request.GET:
        answer.content_length = mib * 1024 * 1024
    return answer


@view_config(route_name="stream", request_method="GET")
def stream(request: Request) -> Response:
    chunks, pause = number(request, "chunks", 5), number(request, "interval_ms", 100) / 1000

    def lines() -> Iterator[bytes]:
        for n in range(chunks):
            if n:
                time.sleep(pause)
            yield b"chunk %d\n" % n

    return Response(app_iter=lines(), content_type="text/plain", charset="utf-8")
