"""Uploads in two forms, and downloads that are produced while they are sent."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

from . import db
from .http import Refused, Request, Send, send_json, send_pieces, start

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


def stored(name: str) -> dict[str, Any] | None:
    with db.session() as database:
        row = database.execute("SELECT * FROM uploads WHERE name = ?", (name,)).fetchone()
    return None if row is None else dict(row)


def parts(content_type: str, body: bytes) -> Iterator[tuple[Message, bytes]]:
    """The fields and the content of each part of a form (RFC 7578), all of it in memory."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise Refused(400, "the body is no multipart/form-data")
    # RFC 2046 §5.1.1: the line break before a delimiter belongs to it, and "--" ends the last.
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))[1:]:
        if part.startswith(b"--"):
            return
        fields, _, content = part.partition(b"\r\n\r\n")
        yield BytesHeaderParser().parsebytes(fields.lstrip(b"\r\n")), content


async def upload_form(request: Request, send: Send) -> None:
    for fields, content in parts(request.header("content-type"), await request.body()):
        name = fields.get_param("name", header="Content-Disposition")
        if name == "file" and fields.get_filename():
            if len(content) > MAX_UPLOAD:
                raise Refused(413)
            digest = hashlib.sha256(content).hexdigest()
            kept = await asyncio.to_thread(store, str(fields.get_filename()), len(content), digest)
            return await send_json(send, kept, 201)
    raise Refused(400, "the form needs a file")


async def upload_raw(request: Request, send: Send) -> None:
    sha256, size = hashlib.sha256(), 0
    async for piece in request.stream():
        sha256.update(piece)
        size += len(piece)
        if size > MAX_UPLOAD:
            raise Refused(413)
    await send_json(send, await asyncio.to_thread(store, request.args["name"], size, sha256.hexdigest()), 201)


async def upload(request: Request, send: Send) -> None:
    found = await asyncio.to_thread(stored, request.args["name"])
    if found is None:
        raise Refused(404, "nothing is sold here")
    await send_json(send, found)


async def download(request: Request, send: Send) -> None:
    mib = request.number("mib", 1)

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(mib * 16):
            yield BLOCK

    length = [("content-length", str(mib * 1024 * 1024))] if "length" in request.params else []
    await start(send, 200, "application/octet-stream", length)
    await send_pieces(send, blocks())


async def stream(request: Request, send: Send) -> None:
    chunks, pause = request.number("chunks", 5), request.number("interval_ms", 100) / 1000

    async def lines() -> AsyncIterator[bytes]:
        for n in range(chunks):
            if n:
                await asyncio.sleep(pause)
            yield b"chunk %d\n" % n

    await start(send, 200, "text/plain")
    await send_pieces(send, lines())


ROUTES = [
    (["POST"], re.compile("/uploads"), upload_form),
    (["PUT"], re.compile("/uploads/(?P<name>[^/]+)"), upload_raw),
    (["GET"], re.compile("/uploads/(?P<name>[^/]+)"), upload),
    (["GET"], re.compile("/download"), download),
    (["GET"], re.compile("/stream"), stream),
]
