"""Uploads in two forms, and downloads that are produced while they are sent."""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesHeaderParser
from typing import IO

from . import db
from .http import Answer, Refused, Request, answer, json_answer

MAX_UPLOAD = 50 * 1024 * 1024
BLOCK = bytes(range(256)) * 256


def store(name: str, content: IO[bytes]) -> Answer:
    sha256, size = hashlib.sha256(), 0
    while chunk := content.read(64 * 1024):
        sha256.update(chunk)
        size += len(chunk)
        if size > MAX_UPLOAD:
            raise Refused(413)
    with db.session() as database:
        database.execute(
            "INSERT INTO uploads VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET size = excluded.size, sha256 = excluded.sha256",
            (name, size, sha256.hexdigest()),
        )
    return json_answer({"name": name, "size": size, "sha256": sha256.hexdigest()}, 201)


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


def upload_form(request: Request) -> Answer:
    for fields, content in parts(request.content_type, request.body()):
        name = fields.get_param("name", header="Content-Disposition")
        if name == "file" and fields.get_filename():
            return store(str(fields.get_filename()), io.BytesIO(content))
    raise Refused(400, "the form needs a file")


def upload_raw(request: Request) -> Answer:
    return store(request.args["name"], request.input)


def upload(request: Request) -> Answer:
    with db.session() as database:
        row = database.execute("SELECT * FROM uploads WHERE name = ?", (request.args["name"],)).fetchone()
    if row is None:
        raise Refused(404, "nothing is sold here")
    return json_answer(dict(row))


def download(request: Request) -> Answer:
    mib = request.number("mib", 1)
    length = [("Content-Length", str(mib * 1024 * 1024))] if "length" in request.params else []
    return answer(200, "application/octet-stream", (BLOCK for _ in range(mib * 16)), length)


def stream(request: Request) -> Answer:
    chunks, pause = request.number("chunks", 5), request.number("interval_ms", 100) / 1000

    def lines() -> Iterator[bytes]:
        for n in range(chunks):
            if n:
                time.sleep(pause)
            yield b"chunk %d\n" % n

    return answer(200, "text/plain", lines())


ROUTES = [
    (["POST"], re.compile("/uploads"), upload_form),
    (["PUT"], re.compile("/uploads/(?P<name>[^/]+)"), upload_raw),
    (["GET"], re.compile("/uploads/(?P<name>[^/]+)"), upload),
    (["GET"], re.compile("/download"), download),
    (["GET"], re.compile("/stream"), stream),
]
