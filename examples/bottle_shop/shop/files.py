"""Uploads in two forms, and downloads that are produced while they are sent."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from typing import IO, Any

from bottle import Bottle, abort, request, response

from . import db as database

routes = Bottle()
routes.install(database.Plugin())

MAX_UPLOAD = 50 * 1024 * 1024
BLOCK = bytes(range(256)) * 256


def store(db: sqlite3.Connection, name: str, content: IO[bytes]) -> dict[str, Any]:
    sha256, size = hashlib.sha256(), 0
    while chunk := content.read(64 * 1024):
        sha256.update(chunk)
        size += len(chunk)
    if size > MAX_UPLOAD:
        abort(413)
    db.execute(
        "INSERT INTO uploads VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET size = excluded.size, sha256 = excluded.sha256",
        (name, size, sha256.hexdigest()),
    )
    response.status = 201
    return {"name": name, "size": size, "sha256": sha256.hexdigest()}


@routes.post("/uploads")
def upload_form(db: sqlite3.Connection) -> dict[str, Any]:
    file = request.files.get("file")
    if file is None or not file.filename:
        abort(400, "the form needs a file")
    return store(db, file.filename, file.file)


@routes.put("/uploads/<name>")
def upload_raw(name: str, db: sqlite3.Connection) -> dict[str, Any]:
    return store(db, name, request.body)


@routes.get("/uploads/<name>")
def upload(name: str, db: sqlite3.Connection) -> dict[str, Any]:
    row = db.execute("SELECT * FROM uploads WHERE name = ?", (name,)).fetchone()
    if row is None:
        abort(404)
    return dict(row)


@routes.get("/download")
def download() -> Iterator[bytes]:
    mib = request.query.get("mib", 1, type=int)
    response.content_type = "application/octet-stream"
    if "length" in request.query:
        response.content_length = mib * 1024 * 1024
    return (BLOCK for _ in range(mib * 16))


@routes.get("/stream")
def stream() -> Iterator[str]:
    chunks = request.query.get("chunks", 5, type=int)
    pause = request.query.get("interval_ms", 100, type=int) / 1000
    response.content_type = "text/plain; charset=utf-8"
    for n in range(chunks):
        if n:
            time.sleep(pause)
        yield f"chunk {n}\n"
