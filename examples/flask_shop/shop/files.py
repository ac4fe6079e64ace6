"""Uploads in two forms, and downloads that are produced while they are sent."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import IO, Any

from flask import Blueprint, Response, abort, jsonify, request

from . import db

bp = Blueprint("files", __name__)

BLOCK = bytes(range(256)) * 256


def digest(stream: IO[bytes]) -> tuple[int, str]:
    sha256, size = hashlib.sha256(), 0
    while chunk := stream.read(64 * 1024):
        sha256.update(chunk)
        size += len(chunk)
    return size, sha256.hexdigest()


def store(name: str, size: int, sha256: str) -> Any:
    db.get().execute(
        "INSERT INTO uploads VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET size = excluded.size, sha256 = excluded.sha256",
        (name, size, sha256),
    )
    return jsonify(name=name, size=size, sha256=sha256), 201


@bp.post("/uploads")
def upload_form() -> Any:
    file = request.files.get("file")
    if file is None or not file.filename:
        abort(400, "the form needs a file")
    return store(file.filename, *digest(file.stream))


@bp.put("/uploads/<name>")
def upload_raw(name: str) -> Any:
    return store(name, *digest(request.stream))


@bp.get("/uploads/<name>")
def upload(name: str) -> Any:
    row = db.get().execute("SELECT * FROM uploads WHERE name = ?", (name,)).fetchone()
    if row is None:
        abort(404)
    return jsonify(dict(row))


@bp.get("/download")
def download() -> Response:
    mib = request.args.get("mib", 1, type=int)
    answer = Response((BLOCK for _ in range(mib * 16)), mimetype="application/octet-stream")
    if "length" in request.args:
        answer.content_length = mib * 1024 * 1024
    return answer


@bp.get("/stream")
def stream() -> Response:
    chunks = request.args.get("chunks", 5, type=int)
    pause = request.args.get("interval_ms", 100, type=int) / 1000

    def lines() -> Iterator[str]:
        for n in range(chunks):
            if n:
                time.sleep(pause)
            yield f"chunk {n}\n"

    return Response(lines(), mimetype="text/plain")
