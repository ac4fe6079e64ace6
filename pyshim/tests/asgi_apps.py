"""Raw ASGI applications for the tests: each shows one thing a server must get right."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

request_variable: contextvars.ContextVar[str] = contextvars.ContextVar("request_variable", default="unset")
events: dict[str, asyncio.Event] = {}
runs: list[str] = []  # the query of every request whose application was called


async def answer(send: Send, body: bytes, status: int = 200, headers: Any = None) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", b"%d" % len(body))] if headers is None else headers,
        }
    )
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        more = message["more_body"]
    return body


def event(name: str) -> asyncio.Event:
    """One request waits for it, another sets it: so tests need no clock."""
    return events.setdefault(name, asyncio.Event())


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Calls the function named by the path."""
    if scope["type"] == "lifespan":
        raise RuntimeError("not supported here")
    runs.append(scope["query_string"].decode())
    await ROUTES[scope["path"]](scope, receive, send)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, await read_body(receive))


async def show_scope(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, repr({key: scope[key] for key in sorted(scope)}).encode())


async def spoil_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """Writes into everything that could be shared, and tells what it found."""
    found = repr([scope["asgi"], scope["state"], scope["extensions"]])
    scope["asgi"]["version"] = "spoiled"
    scope["state"]["spoiled"] = True
    scope["extensions"]["spoiled"] = {}
    scope["extensions"]["http.response.pathsend"]["spoiled"] = True
    await answer(send, found.encode())


async def nonce(scope: Scope, receive: Receive, send: Send) -> None:
    """Lets others run in between, in an order of its own, and then answers its own query."""
    mine = scope["query_string"]
    request_variable.set(mine.decode())
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-nonce", mine)]})
    for turn in range(int(mine) % 5):
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"%s.%d " % (mine, turn), "more_body": True})
    await send({"type": "http.response.body", "body": request_variable.get().encode()})


async def context(scope: Scope, receive: Receive, send: Send) -> None:
    found = request_variable.get()
    request_variable.set("leaked")
    await answer(send, found.encode())


async def current_task(scope: Scope, receive: Receive, send: Send) -> None:
    before = asyncio.current_task()
    await asyncio.sleep(0)
    same = before is not None and before is asyncio.current_task()
    await answer(send, repr(same).encode())


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the pieces in the query, one message each; waits for an event before each but the first."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for index, piece in enumerate(scope["query_string"].split(b",")):
        if index:
            await event("stream").wait()
            event("stream").clear()
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def set_event(scope: Scope, receive: Receive, send: Send) -> None:
    event(scope["query_string"].decode()).set()
    await answer(send, b"")


async def big(scope: Scope, receive: Receive, send: Send) -> None:
    """A body of as many bytes as the query says, in one message."""
    request_variable.set("leaked by big")
    await asyncio.sleep(0)
    size = int(scope["query_string"])
    body = bytes(range(251)) * (size // 251 + 1)
    await answer(send, body[:size])


async def big_head(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"x-%d" % i, b"v" * 1000) for i in range(int(scope["query_string"]))]
    await answer(send, b"body", headers=headers)


async def bytearray_body(scope: Scope, receive: Receive, send: Send) -> None:
    body = bytearray(b"first ")
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    body[:] = b"second"
    await send({"type": "http.response.body", "body": memoryview(body)})


class Code(int):
    pass


class Text(str):
    pass


class Octets(bytes):
    pass


HEADER_FORMS: dict[str, Any] = {
    "list": [(b"x-a", b"1"), (b"x-b", b"2")],
    "tuple": ((b"x-a", b"1"), (b"x-b", b"2")),
    "lists": [[b"x-a", b"1"], [b"x-b", b"2"]],
    "generator": lambda: ((name, value) for name, value in ((b"x-a", b"1"), (b"x-b", b"2"))),
    "subclasses": [(Octets(b"x-a"), Octets(b"1")), (Text("x-b"), Text("2"))],
    "bytearrays": [(bytearray(b"x-a"), bytearray(b"1")), (memoryview(b"x-b"), b"2")],
    "iterators": lambda: [iter((b"x-a", b"1")), iter((b"x-b", b"2"))],
    "map": lambda: map(tuple, [[b"x-a", b"1"], [b"x-b", b"2"]]),
    "str": [("x-a", "1"), ("x-b", "2")],
}


async def header_form(scope: Scope, receive: Receive, send: Send) -> None:
    headers = HEADER_FORMS[scope["query_string"].decode()]
    await send(
        {"type": "http.response.start", "status": Code(201), "headers": headers() if callable(headers) else headers}
    )
    await send({"type": "http.response.body", "body": b"ok"})


ORDER_ERRORS: dict[str, list[Message]] = {
    "body first": [{"type": "http.response.body", "body": b""}],
    "start twice": [{"type": "http.response.start", "status": 200}, {"type": "http.response.start", "status": 200}],
    "after the end": [
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.body", "body": b"ok"},
        {"type": "http.response.body", "body": b"more"},
    ],
    "unknown type": [{"type": "http.response.nonsense"}],
    "early hint too late": [
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.early_hint", "links": []},
    ],
    "informational start": [{"type": "http.response.start", "status": 103}],
}


async def wrong_order(scope: Scope, receive: Receive, send: Send) -> None:
    messages = ORDER_ERRORS[scope["query_string"].decode()]
    try:
        for message in messages:
            await send(message)
    except RuntimeError as exc:
        sys.stderr.write(f"order: {exc}\n")
        raise
    sys.stderr.write("order: no error\n")


async def raise_before(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("raised before the start")


async def raise_held(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise LookupError("raised after the start")


async def raise_after(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"some", "more_body": True})
    raise LookupError("raised in the body")


async def raise_late(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"complete")
    raise LookupError("raised after the end")


async def raise_exit(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit(7)


async def raise_cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    raise asyncio.CancelledError


async def no_answer(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def half_answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def disconnect(scope: Scope, receive: Receive, send: Send) -> None:
    """Two receive() calls wait; both must hear of the client's leaving, then send() must raise OSError."""
    await read_body(receive)
    cancelled = asyncio.ensure_future(receive())
    others = [asyncio.ensure_future(receive()) for _ in range(2)]
    await asyncio.sleep(0)
    cancelled.cancel()
    sys.stderr.write("disconnect: waiting\n")
    for other in others:
        sys.stderr.write(f"disconnect: {(await other)['type']}\n")
    try:
        await answer(send, b"nobody reads this")
    except OSError as exc:
        sys.stderr.write(f"disconnect: {type(exc).__name__}\n")
        raise


async def disconnect_wrapped(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises an exception of its own from send()'s, as Starlette does."""
    while (await receive())["type"] != "http.disconnect":
        pass
    try:
        await answer(send, b"nobody reads this")
    except OSError:
        raise LookupError("the client left") from None


async def disconnect_beside(scope: Scope, receive: Receive, send: Send) -> None:
    """One task waits for http.disconnect and cancels the other, which sends; as Django does it."""
    await read_body(receive)

    async def send_much() -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(4096), "more_body": True})

    listening, sending = asyncio.ensure_future(receive()), asyncio.ensure_future(send_much())
    await asyncio.wait([listening, sending], return_when=asyncio.FIRST_COMPLETED)
    sending.cancel()
    await asyncio.wait([sending])
    end = "cancelled" if sending.cancelled() else type(sending.exception()).__name__
    sys.stderr.write(f"beside: {end}\n")


async def events_forever(scope: Scope, receive: Receive, send: Send) -> None:
    """Server-sent events until send() raises, as a framework without its own watching does it."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    count = 0
    try:
        while True:
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % count, "more_body": True})
            count += 1
            await asyncio.sleep(0)
    except OSError:
        sys.stderr.write("events: ended by OSError\n")
        raise


async def after_answer(scope: Scope, receive: Receive, send: Send) -> None:
    """receive() after the answer is complete says http.disconnect."""
    await read_body(receive)
    waiting = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await answer(send, b"answered")
    sys.stderr.write(f"after: {(await waiting)['type']} {(await receive())['type']}\n")


async def background(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers, and goes on until the event."""
    await answer(send, b"answered")
    await event("background").wait()
    sys.stderr.write("background: done\n")


async def wait_event(scope: Scope, receive: Receive, send: Send) -> None:
    await event(scope["query_string"].decode()).wait()
    await answer(send, b"waited")


async def cancelled_send(scope: Scope, receive: Receive, send: Send) -> None:
    """Gives up on a send() that waits for the window, then tries to go on as if nothing had been lost."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    sending = asyncio.ensure_future(send({"type": "http.response.body", "body": b"x" * 10000, "more_body": True}))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait([sending])
    await send({"type": "http.response.body", "body": b"the rest"})


async def early_hint(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload", b"</app.js>; rel=preload"]})
    await answer(send, b"final")


async def pathsend(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.pathsend", "path": scope["query_string"].decode()})


async def block(scope: Scope, receive: Receive, send: Send) -> None:
    """Holds the loop until the file in the query exists."""
    sys.stderr.write("block: holds the loop\n")
    while not os.path.exists(scope["query_string"].decode()):
        time.sleep(0.001)
    await answer(send, b"released")


async def in_thread(scope: Scope, receive: Receive, send: Send) -> None:
    """What frameworks do with synchronous endpoints."""
    loop = asyncio.get_running_loop()
    name = await loop.run_in_executor(None, lambda: threading.current_thread().name)
    await answer(send, name.encode())


async def show_runs(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, ",".join(sorted(runs[:-1])).encode())


async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
    """Wraps receive and send, runs the inner application in a task of its own, and passes everything on."""

    async def inner_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = dict(message, headers=[*message["headers"], (b"x-middleware", b"1")])
        await asyncio.ensure_future(send(message))

    async def inner_receive() -> Message:
        return await asyncio.wait_for(receive(), None)

    await asyncio.ensure_future(echo(dict(scope), inner_receive, inner_send))


ROUTES = {
    "/" + function.__name__: function
    for function in (
        echo, show_scope, spoil_scope, nonce, context, current_task, stream, set_event, big, big_head, bytearray_body,
        header_form, wrong_order, raise_before, raise_held, raise_after, raise_late, raise_exit, raise_cancelled,
        no_answer, half_answer, disconnect, disconnect_wrapped, disconnect_beside, events_forever, after_answer,
        background, wait_event, cancelled_send, early_hint, pathsend, block, in_thread, show_runs, middleware,
    )
}  # fmt: skip
