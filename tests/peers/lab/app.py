"""What the upstream tests ask of every responder, as a WSGI application: for flup, our own shim, and CGI."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

MIB = 1024 * 1024


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    name = environ["PATH_INFO"].strip("/").partition("/")[0]
    return LAB[name](environ, start_response)  # type: ignore[no-any-return]


def _head(start_response: Any, *fields: tuple[str, str], status: str = "200 OK") -> None:
    start_response(status, [("Content-Type", "text/plain"), *fields])


def _file(environ: dict[str, Any]) -> str:
    return os.path.join(environ["LAB_DIR"], environ["QUERY_STRING"])


def hello(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    _head(start_response)
    return [b"hello"]


def params(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    _head(start_response)
    return [json.dumps({name: value for name, value in environ.items() if isinstance(value, str)}).encode()]


def digest(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    sha, size = hashlib.sha256(), 0
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left and (part := environ["wsgi.input"].read(min(left, 65536))):
        sha.update(part)
        size += len(part)
        left -= len(part)
    _head(start_response)
    return [json.dumps([size, sha.hexdigest()]).encode()]


def long(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    _head(start_response, ("X-Long", "v" * 65536))
    return [b"long"]


def big(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    _head(start_response)
    return (b"x" * 65536 for _ in range(32 * MIB // 65536))


def stream(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    _head(start_response)
    yield b"one"
    while not os.path.exists(_file(environ)):
        time.sleep(0.01)
    yield b"two"


def upload(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    size = len(environ["wsgi.input"].read(1000))
    with open(_file(environ), "w"):
        pass
    left = int(environ["CONTENT_LENGTH"]) - size
    while left and (part := environ["wsgi.input"].read(min(left, 65536))):
        size += len(part)
        left -= len(part)
    _head(start_response)
    return [b"%d" % size]


def early(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    _head(start_response, status="403 Forbidden")
    return [b"early"]


def stderr(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    for line in ["careful \x1b[31m", *["noise"] * 20_000]:
        environ["wsgi.errors"].write(line + "\n")
    environ["wsgi.errors"].flush()
    _head(start_response)
    return [b"said"]


def dies(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def dies_later(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    _head(start_response)
    yield b"x" * 100_000
    with open(_file(environ), "w"):
        pass
    while not os.path.exists(_file(environ) + "-go"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    _head(start_response)
    try:
        while True:
            yield b"tick" * 100
            time.sleep(0.01)
    finally:
        with open(_file(environ), "w"):
            pass


LAB = {
    "hello": hello, "params": params, "digest": digest, "long": long, "big": big, "stream": stream, "upload": upload,
    "early": early, "stderr": stderr, "dies": dies, "dies-later": dies_later, "hangs": hangs,
}  # fmt: skip


def serve_with_flup(path: str) -> None:
    from flup.server.fcgi import WSGIServer

    WSGIServer(application, bindAddress=path, umask=0o077, debug=False).run()


def serve_as_cgi() -> None:
    from wsgiref.handlers import CGIHandler

    class Handler(CGIHandler):
        wsgi_file_wrapper = None

    Handler().run(application)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve_with_flup(sys.argv[1])
    else:
        serve_as_cgi()
