"""Uploads in two forms, and downloads that are produced while they are sent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from . import db
from .query import number

MAX_UPLOAD = 50 * 1024 * 1024
BLOCK = bytes(range(256)) * 256


def store(name: str, size: int, sha256: str) -> dict[str, Any]:
    with db.session() as database:
        database.execute(
            "INSERT INTO uploads VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET size = excluded.size, sha256 = excluded.sha256",
            (name, size, sha256),
        )
    return {"name": name, "size": size, "sha256": sha256}


async def upload_form(request: Request) -> JSONResponse:
    async with request.form() as form:
        file = form.get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            raise HTTPException(400, "the form needs a file")
        sha256, size = hashlib.sha256(), 0
        while chunk := await file.read(64 * 1024):
            sha256.update(chunk)
            size += len(chunk)
        if size > MAX_UPLOAD:
            raise HTTPException(413)
        return JSONResponse(await run_in_threadpool(store, file.filename, size, sha256.hexdigest()), 201)


async def upload_raw(request: Request) -> JSONResponse:
    sha256, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        sha256.update(chunk)
        size += len(chunk)
        if size > MAX_UPLOAD:
            raise HTTPException(413)
    return JSONResponse(await run_in_threadpool(store, request.path_params["name"], size, sha256.hexdigest()), 201)


def upload(request: Request) -> JSONResponse:
    with db.session() as database:
        row = database.execute("SELECT * FROM uploads WHERE name = ?", (request.path_params["name"],)).fetchone()
    if row is None:
        raise HTTPException(404)
    return JSONResponse(dict(row))


async def download(request: Request) -> StreamingResponse:
    mib = number(request, "mib", 1)

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(mib * 16):
            yield BLOCK

    headers = {"Content-Length": str(mib * 1024 * 1024)} if "length" in request.query_params else {}
    return StreamingResponse(blocks(), media_type="application/octet-stream", headers=headers)


async def stream(request: Request) -> StreamingResponse:
    chunks, pause = number(request, "chunks", 5), number(request, "interval_ms", 100) / 1000

    async def lines() -> AsyncIterator[str]:
        for n in range(chunks):
            if n:
                await asyncio.sleep(pause)
            yield f"chunk {n}\n"

    return StreamingResponse(lines(), media_type="text/plain")


routes = [
    Route("/uploads", upload_form, methods=["POST"]),
    Route("/uploads/{name}", upload_raw, methods=["PUT"]),
    Route("/uploads/{name}", upload),
    Route("/download", download),
    Route("/stream", stream),
]
