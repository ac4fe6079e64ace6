"""A bare WSGI and a bare ASGI application, each route of which is hard on a web server or a responder."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

# What a request waits for until another one opens it; by the query.
_gates: dict[str, threading.Event] = defaultdict(threading.Event)


def _open_at_stop(key: str) -> None:
    """Opens once the server has heard SIGTERM: it then listens no more."""
    listening = _listening()

    def look() -> None:
        while _listening() >= listening:
            threading.Event().wait(0.01)
        _gates[key].set()

    threading.Thread(target=look, daemon=True).start()


def _listening() -> int:
    """How many listening sockets this process has."""
    mine = {os.readlink(f"/proc/self/fd/{fd}")[8:-1] for fd in os.listdir("/proc/self/fd") if _is_socket(fd)}
    with open("/proc/net/tcp") as file:
        return sum(1 for line in file if line.split()[3] == "0A" and line.split()[9] in mine)


def _is_socket(fd: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False  # closed meanwhile


def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    name = environ["PATH_INFO"].strip("/").partition("/")[0] or "hello"
    return globals()["w_" + name](environ, start_response)


def _text(start_response: Any, body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


def w_hello(environ: Any, start_response: Any) -> Any:
    return _text(start_response, b"hello")


def w_echo(environ: Any, start_response: Any) -> Any:
    return _text(start_response, environ["wsgi.input"].read())


def w_early(environ: Any, start_response: Any) -> Any:
    return _text(start_response, b"early")


def w_fields(environ: Any, start_response: Any) -> Any:
    fields = [(name[5:].lower().replace("_", "-"), environ[name]) for name in environ if name.startswith("HTTP_")]
    return _text(start_response, json.dumps(fields).encode())


def w_path(environ: Any, start_response: Any) -> Any:
    found = {"path": environ["SCRIPT_NAME"] + environ["PATH_INFO"], "raw": environ["REQUEST_URI"]}
    return _text(start_response, json.dumps(found).encode())


def w_large_field(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("X-Large", "h" * int(environ["QUERY_STRING"]))])
    return [b""]


def w_raise(environ: Any, start_response: Any) -> Any:
    raise ValueError("the till is broken")


def w_raise_later(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"some"
    _gates[environ["QUERY_STRING"]].wait(30)
    raise ValueError("the till broke")


def w_exit(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["QUERY_STRING"]:
        yield b"some"
        _gates[environ["QUERY_STRING"]].wait(30)
    os._exit(9)


def w_chunks(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    _gates[environ["QUERY_STRING"]].wait(30)
    yield b"second"


def w_open(environ: Any, start_response: Any) -> Any:
    _gates[environ["QUERY_STRING"]].set()
    return _text(start_response, b"open")


def w_open_at_stop(environ: Any, start_response: Any) -> Any:
    _open_at_stop(environ["QUERY_STRING"])
    return _text(start_response, b"open")


class _Endless:
    def __iter__(self) -> _Endless:
        return self

    def __next__(self) -> bytes:
        return b"x" * 16384

    def close(self) -> None:
        sys.stderr.write("the iterable was closed\n")


def w_endless(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return _Endless()


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    name = scope["path"].strip("/").partition("/")[0] or "hello"
    await globals()["a_" + name](scope, receive, send)


async def _answer(send: Any, body: bytes, more: bool = False) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _wait(scope: Any) -> None:
    gate = _gates[scope["query_string"].decode()]
    await asyncio.get_running_loop().run_in_executor(None, gate.wait, 30)


async def a_hello(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"hello")


async def a_echo(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        await send({"type": "http.response.body", "body": message["body"], "more_body": message["more_body"]})
        if not message["more_body"]:
            return


async def a_early(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"early")


async def a_fields(scope: Any, receive: Any, send: Any) -> None:
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    await _answer(send, json.dumps(fields).encode())


async def a_path(scope: Any, receive: Any, send: Any) -> None:
    # As a WSGI application sees it: one character for each byte.
    plain = scope["path"].encode().replace("\ufffd".encode(), b"\xff").decode("latin-1")
    found = {"path": plain, "raw": scope["raw_path"].decode()}
    await _answer(send, json.dumps(found).encode())


async def a_large_field(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"x-large", b"h" * int(scope["query_string"]))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body"})


async def a_raise(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("the till is broken")


async def a_raise_later(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"some", more=True)
    await _wait(scope)
    raise ValueError("the till broke")


async def a_exit(scope: Any, receive: Any, send: Any) -> None:
    if scope["query_string"]:
        await _answer(send, b"some", more=True)
        await _wait(scope)
    os._exit(9)


async def a_chunks(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"first", more=True)
    await _wait(scope)
    await send({"type": "http.response.body", "body": b"second"})


async def a_open(scope: Any, receive: Any, send: Any) -> None:
    _gates[scope["query_string"].decode()].set()
    await _answer(send, b"open")


async def a_open_at_stop(scope: Any, receive: Any, send: Any) -> None:
    _open_at_stop(scope["query_string"].decode())
    await _answer(send, b"open")


async def a_endless(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 16384, "more_body": True})
    except OSError:
        sys.stderr.write("the client has left\n")
        raise
