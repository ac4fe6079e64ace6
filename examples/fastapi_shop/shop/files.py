"""Uploads in two forms, and downloads that are produced while they are sent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request, UploadFile
from fastapi.responses import StreamingResponse

from .db import Database

router = APIRouter()

MAX_UPLOAD = 50 * 1024 * 1024
BLOCK = bytes(range(256)) * 256


def store(database: Database, name: str, size: int, sha256: str) -> dict[str, Any]:
    database.execute(
        "INSERT INTO uploads VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET size = excluded.size, sha256 = excluded.sha256",
        (name, size, sha256),
    )
    return {"name": name, "size": size, "sha256": sha256}


@router.post("/uploads", status_code=201)
def upload_form(file: UploadFile, database: Database) -> dict[str, Any]:
    sha256, size = hashlib.sha256(), 0
    while chunk := file.file.read(64 * 1024):
        sha256.update(chunk)
        size += len(chunk)
    if size > MAX_UPLOAD:
        raise HTTPException(413)
    return store(database, file.filename or "unnamed", size, sha256.hexdigest())


@router.put("/uploads/{name}", status_code=201)
async def upload_raw(name: str, request: Request, database: Database) -> dict[str, Any]:
    sha256, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        sha256.update(chunk)
        size += len(chunk)
        if size > MAX_UPLOAD:
            raise HTTPException(413)
    return store(database, name, size, sha256.hexdigest())


@router.get("/uploads/{name}")
def upload(name: str, database: Database) -> dict[str, Any]:
    row = database.execute("SELECT * FROM uploads WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise HTTPException(404)
    return dict(row)


@router.api_route("/download", methods=["GET", "HEAD"])
async def download(mib: int = 1, length: str = "") -> StreamingResponse:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(mib * 16):
            yield BLOCK

    headers = {"Content-Length": str(mib * 1024 * 1024)} if length else {}
    return StreamingResponse(blocks(), media_type="application/octet-stream", headers=headers)


@router.get("/stream")
async def stream(chunks: int = 5, interval_ms: int = 100) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for n in range(chunks):
            if n:
                await asyncio.sleep(interval_ms / 1000)
            yield f"chunk {n}\n"

    return StreamingResponse(lines(), media_type="text/plain")
