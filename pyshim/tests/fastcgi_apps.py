"""Applications that the FastCGI responder's tests drive."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections import defaultdict
from typing import Any, Dict, List

_gates: Dict[str, threading.Event] = defaultdict(threading.Event)  # by the query
closed: List[str] = []


def wsgi(environ: Dict[str, Any], start_response: Any) -> Any:
    name = environ["PATH_INFO"].strip("/").partition("/")[0] or "hello"
    return globals()["w_" + name](environ, start_response)


def _text(start_response: Any, *chunks: bytes, status: str = "200 OK") -> List[bytes]:
    start_response(status, [("Content-Type", "text/plain")])
    return list(chunks)


def w_hello(environ: Any, start_response: Any) -> Any:
    return _text(start_response, b"hello")


def w_environ(environ: Any, start_response: Any) -> Any:
    plain = {name: value for name, value in environ.items() if isinstance(value, (str, bool, tuple))}
    return _text(start_response, json.dumps(plain).encode())


def w_echo(environ: Any, start_response: Any) -> Any:
    return _text(start_response, environ["wsgi.input"].read())


def w_size(environ: Any, start_response: Any) -> Any:
    size = 0
    while True:
        data = environ["wsgi.input"].read(65536)
        if not data:
            return _text(start_response, b"%d" % size)
        size += len(data)


def w_early(environ: Any, start_response: Any) -> Any:
    return _text(start_response, b"early")


def w_wait(environ: Any, start_response: Any) -> Any:
    _gates[environ["QUERY_STRING"]].wait(30)
    return _text(start_response, b"waited")


def w_open(environ: Any, start_response: Any) -> Any:
    _gates[environ["QUERY_STRING"]].set()
    return _text(start_response, b"open")


def w_recycle(environ: Any, start_response: Any) -> Any:
    import pyspeed

    pyspeed.recycle("the cache\ngrew")
    pyspeed.recycle("again")
    _gates[environ["QUERY_STRING"]].wait(30)
    return _text(start_response, b"recycled")


def w_chunks(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    _gates[environ["QUERY_STRING"]].wait(30)
    yield b"second"


def w_raise(environ: Any, start_response: Any) -> Any:
    raise ValueError("the till is broken")


def w_raise_later(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"some"
    raise ValueError("the till broke")


def w_short(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Length", "10")])
    return [b"short"]


def w_bad_header(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("X-One", "1\r\nX-Two: 2")])
    return [b"never seen"]


def w_bad_pair(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("X-One",)])
    return [b"never seen"]


def w_errors(environ: Any, start_response: Any) -> Any:
    size = int(environ["QUERY_STRING"] or 0)
    environ["wsgi.errors"].write("e" * size + "a line for the log\n")
    return _text(start_response, b"said")


def w_late_errors(environ: Any, start_response: Any) -> Any:
    errors = environ["wsgi.errors"]

    def later() -> None:
        _gates[environ["QUERY_STRING"]].wait(30)
        errors.write("written after the end\n")
        errors.flush()

    threading.Thread(target=later, daemon=True).start()
    return _text(start_response, b"over")


def w_head(environ: Any, start_response: Any) -> Any:
    fields = [("Connection", "close"), ("Status", "404 No"), ("Transfer-Encoding", "chunked"), ("Proxy-X", "1")]
    start_response("200 OK", [*fields, ("X-Large", "h" * int(environ["QUERY_STRING"] or 1)), ("Set-Cookie", "a=1")])
    return [b"head"]


class _Endless:
    def __init__(self) -> None:
        self.sent = 0

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> bytes:
        self.sent += 16384
        return b"x" * 16384

    def close(self) -> None:
        closed.append("closed after %d" % (self.sent > 0))
        sys.stderr.write("the iterable was closed\n")


def w_endless(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return _Endless()


def w_bad_endless(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("X-One", "1\r\nX-Two: 2")])
    return _Endless()


def w_large(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (bytes(range(256)) * 64 for _ in range(int(environ["QUERY_STRING"])))


def w_exit(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["QUERY_STRING"]:
        yield b"some"
    os._exit(9)


_hoard: List[int] = []


def w_hoard(environ: Any, start_response: Any) -> Any:
    """Opens all the descriptors there are."""
    try:
        while True:
            _hoard.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return _text(start_response, b"%d" % len(_hoard))


def w_give_back(environ: Any, start_response: Any) -> Any:
    while _hoard:
        os.close(_hoard.pop())
    return _text(start_response, b"given back")


def w_pid(environ: Any, start_response: Any) -> Any:
    """Leaves a child behind that keeps what it inherited."""
    pid = os.fork()
    if pid == 0:
        time.sleep(30)
        os._exit(0)
    return _text(start_response, b"%d" % pid)


def w_await(environ: Any, start_response: Any) -> Any:
    """Which signal ended that child."""
    status = os.waitpid(int(environ["QUERY_STRING"]), 0)[1]
    return _text(start_response, b"%d" % os.WTERMSIG(status))


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        sys.stderr.write("lifespan began\n")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        sys.stderr.write("lifespan ended\n")
        await send({"type": "lifespan.shutdown.complete"})
        return
    name = scope["path"].strip("/").partition("/")[0] or "hello"
    await globals()["a_" + name](scope, receive, send)


async def _answer(send: Any, body: bytes, more: bool = False) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def a_hello(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"hello")


async def a_scope(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, repr({name: scope[name] for name in scope if name not in ("state", "extensions")}).encode())


async def a_echo(scope: Any, receive: Any, send: Any) -> None:
    """Echoes each piece as it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            sys.stderr.write("the client has left\n")
            return
        await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        if not message["more_body"]:
            break
    await send({"type": "http.response.body"})


async def a_early(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"early")


async def a_wait(scope: Any, receive: Any, send: Any) -> None:
    while not _gates[scope["query_string"].decode()].is_set():
        await asyncio.sleep(0.005)
    await _answer(send, b"waited")


async def a_open(scope: Any, receive: Any, send: Any) -> None:
    _gates[scope["query_string"].decode()].set()
    await _answer(send, b"open")


async def a_leaves(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"some", more=True)
    while (await receive())["type"] != "http.disconnect":
        pass
    sys.stderr.write("the client has left\n")


async def a_endless(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 16384, "more_body": True})
    except OSError:
        sys.stderr.write("the client has left\n")
        raise


async def a_raise(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("the till is broken")


async def a_raise_later(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"some", more=True)
    raise ValueError("the till broke")


async def a_early_hint(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.early_hint", "links": [b"</x.css>; rel=preload"]})
    await _answer(send, b"final")


async def a_head(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"a body that HEAD must not have")


async def a_too_much(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"four and more"})


def broken_factory() -> Any:
    raise RuntimeError("no such till")


async def no_lifespan(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "the safe is locked"})
