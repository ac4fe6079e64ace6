"""Uploads in two forms, and downloads that are produced while they are sent."""

from __future__ import annotations

import asyncio
import hashlib

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, stream_request_body, url

from . import db
from .handler import Handler

MAX_UPLOAD = 50 * 1024 * 1024
BLOCK = bytes(range(256)) * 256


class Storing(Handler):
    async def store(self, name: str, size: int, sha256: str) -> None:
        await self.off_loop(
            db.insert,
            "INSERT INTO uploads VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET size = excluded.size, sha256 = excluded.sha256",
            *(name, size, sha256),
        )
        self.set_status(201)
        self.answer({"name": name, "size": size, "sha256": sha256})


class Uploads(Storing):
    async def post(self) -> None:
        if not self.request.files.get("file"):
            raise HTTPError(400, "there is no file in the form")
        file = self.request.files["file"][0]
        if len(file["body"]) > MAX_UPLOAD:
            raise HTTPError(413)
        sha256 = await self.off_loop(hashlib.sha256, file["body"])
        await self.store(file["filename"] or "unnamed", len(file["body"]), sha256.hexdigest())


@stream_request_body
class Upload(Storing):
    def prepare(self) -> None:
        self.sha256, self.size = hashlib.sha256(), 0
        self.request.connection.set_max_body_size(MAX_UPLOAD)

    async def data_received(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.sha256.update(chunk)

    async def put(self, name: str) -> None:
        await self.store(name, self.size, self.sha256.hexdigest())

    async def get(self, name: str) -> None:
        found = await self.off_loop(db.rows, "SELECT * FROM uploads WHERE name = ?", name)
        if not found:
            raise HTTPError(404)
        self.answer(found[0])


class Download(Handler):
    async def get(self) -> None:
        mib = self.number("mib", 1)
        self.set_header("Content-Type", "application/octet-stream")
        if self.get_query_argument("length", ""):
            self.set_header("Content-Length", str(mib * 1024 * 1024))
        try:
            for _ in range(mib * 16):
                self.write(BLOCK)
                await self.flush()
        except StreamClosedError:
            return  # the client has enough

    head = get


class Stream(Handler):
    async def get(self) -> None:
        interval = self.number("interval_ms", 100) / 1000
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        for n in range(self.number("chunks", 5)):
            if n:
                await asyncio.sleep(interval)
            self.write(f"chunk {n}\n")
            await self.flush()


ROUTES = [
    url(r"/uploads", Uploads),
    url(r"/uploads/([^/]+)", Upload),
    url(r"/download", Download),
    url(r"/stream", Stream),
]
