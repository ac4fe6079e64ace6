"""Tornado applications for the tests: each handler shows one thing that a server must get right."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Callable

from tornado import httputil
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.iostream import StreamClosedError
from tornado.routing import PathMatches, Rule, RuleRouter
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler
from tornado.wsgi import WSGIContainer

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
events: dict[str, asyncio.Event] = {}
STATIC = Path(__file__).resolve().parent


def event(name: str) -> asyncio.Event:
    """One request waits for it, another sets it: so tests need no clock."""
    return events.setdefault(name, asyncio.Event())


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class Hello(RequestHandler):
    def get(self) -> None:
        self.write("Hello")

    head = get

    async def post(self) -> None:
        await asyncio.sleep(0)
        self.write(self.request.body)


class Show(RequestHandler):
    def get(self) -> None:
        request = self.request
        shown: dict[str, Any] = {
            name: getattr(request, name)
            for name in ("method", "uri", "path", "query", "version", "remote_ip", "protocol", "host", "body")
        }
        shown["headers"] = sorted(request.headers.get_all())
        shown["cookies"] = sorted((name, morsel.value) for name, morsel in request.cookies.items())
        shown["arguments"] = request.arguments
        shown["context"] = (request.connection.context.address, str(request.connection.context))
        shown["family"] = int(request.connection.context.address_family)
        self.write(repr(shown))


class Form(RequestHandler):
    def post(self) -> None:
        self.write(repr([self.get_body_arguments("a"), [file.body for file in self.request.files.get("f", ())]]))


class SetEvent(RequestHandler):
    def get(self) -> None:
        event(self.request.query).set()


class WaitEvent(RequestHandler):
    async def get(self) -> None:
        await event(self.request.query).wait()
        self.write("waited")


class Pieces(RequestHandler):
    """Flushes the pieces in the query; waits for an event before each but the first."""

    async def get(self) -> None:
        for index, piece in enumerate(self.request.query.split(",")):
            if index:
                await event("pieces").wait()
                event("pieces").clear()
            self.write(piece)
            await self.flush()


class Big(RequestHandler):
    """Blocks until the client leaves or all is sent; tells how many flushes were done."""

    async def get(self) -> None:
        self.done = 0
        say("big: begins")
        try:
            for _ in range(int(self.request.query)):
                self.write(b"x" * 10000)
                await self.flush()
                self.done += 1
                await asyncio.sleep(0)
        except StreamClosedError:
            say(f"big: closed after {self.done}")
            raise
        say(f"big: all {self.done}")


class Whole(RequestHandler):
    """As many bytes as the query says, without waiting for anything."""

    def get(self) -> None:
        self.write((bytes(range(251)) * (int(self.request.query) // 251 + 1))[: int(self.request.query)])


class Unawaited(RequestHandler):
    def get(self) -> None:
        for number in range(100):
            self.write(b"%05d" % number * 1000)
            self.flush()


class Length(RequestHandler):
    def get(self) -> None:
        announced, given = map(int, self.request.query.split(","))
        self.set_header("Content-Length", str(announced))
        self.write("x" * given)


class LengthFlushed(RequestHandler):
    async def get(self) -> None:
        announced, given = map(int, self.request.query.split(","))
        self.set_header("Content-Length", str(announced))
        for _ in range(given):
            self.write("x")
            await self.flush()


class Fails(RequestHandler):
    def get(self) -> None:
        raise RuntimeError("the till is broken")


class FailsAfterFlush(RequestHandler):
    async def get(self) -> None:
        self.write("some")
        await self.flush()
        raise RuntimeError("broken in the middle")


class Teapot(RequestHandler):
    def get(self) -> None:
        raise HTTPError(418, reason="I am a teapot")


class Nothing(RequestHandler):
    def get(self) -> None:
        self.set_status(204)


class Away(RequestHandler):
    def get(self) -> None:
        self.redirect("/elsewhere")


class Secure(RequestHandler):
    def get(self) -> None:
        self.set_secure_cookie("s", "sekret")
        self.set_cookie("t", "plain")

    def post(self) -> None:
        self.write(self.get_secure_cookie("s") or b"none")


class Leaves(RequestHandler):
    """Waits for its client to leave."""

    async def get(self) -> None:
        self.gone = asyncio.Event()
        say("leaves: waiting")
        await self.gone.wait()
        try:
            self.write("too late")
            await self.flush()
        except StreamClosedError:
            say("leaves: StreamClosedError")

    def on_connection_close(self) -> None:
        say("leaves: on_connection_close")
        self.gone.set()


class Leaks(RequestHandler):
    """Each request sees only what it has set itself."""

    def initialize(self) -> None:
        self.before = variable.get()
        variable.set("of " + self.request.query)

    async def get(self) -> None:
        await asyncio.sleep(0)
        self.write(self.before + "," + variable.get())


class Loops(RequestHandler):
    async def get(self) -> None:
        called = asyncio.Event()
        periodic = PeriodicCallback(called.set, 1)
        periodic.start()
        await called.wait()
        periodic.stop()
        spawned: asyncio.Future[str] = asyncio.Future()

        async def spawn() -> None:
            spawned.set_result("spawned")

        loop = IOLoop.current()
        loop.spawn_callback(spawn)
        thread = await loop.run_in_executor(None, lambda: "thread")
        same = loop.asyncio_loop is asyncio.get_running_loop()
        self.write(f"{await spawned} {thread} {same} {type(loop.asyncio_loop).__module__.partition('.')[0]}")


class Background(RequestHandler):
    async def get(self) -> None:
        self.finish("finished")
        say("background: finished")
        await event("background").wait()
        say("background: done")


class Block(RequestHandler):
    def get(self) -> None:
        say("block: holds the loop")
        while not Path(self.request.query).exists():
            time.sleep(0.001)
        self.write("released")


class Socket(WebSocketHandler):
    def open(self, *args: str, **kwargs: str) -> None:
        say("socket: open")


class Detaches(RequestHandler):
    def get(self) -> None:
        self.detach()


@stream_request_body
class Streamed(RequestHandler):
    """Takes its body piece by piece, each when an event says so; the query says what else."""

    def prepare(self) -> None:
        self.sizes: list[int] = []
        if self.request.query == "refuse":
            self.set_status(403)
            self.finish("refused")
        if self.request.query == "limit":
            self.request.connection.set_max_body_size(10)
        if self.request.query == "hurry":
            self.request.connection.set_body_timeout(0.01)

    async def data_received(self, chunk: bytes) -> None:
        say(f"streamed: {len(chunk)}")
        if self.request.query == "paced":
            await event("paced").wait()
        if self.request.query == "raise":
            raise RuntimeError("cannot take this")
        if self.request.query == "early":
            self.finish("early")
        self.sizes.append(len(chunk))

    async def post(self) -> None:
        self.write(f"{sum(self.sizes)} {max(self.sizes, default=0)}")

    def on_connection_close(self) -> None:
        super().on_connection_close()
        say("streamed: on_connection_close")

    def on_finish(self) -> None:
        say("streamed: on_finish")


app = Application(
    [
        ("/", Hello),
        ("/show.*", Show),
        ("/form", Form),
        ("/set_event", SetEvent),
        ("/wait_event", WaitEvent),
        ("/pieces", Pieces),
        ("/big", Big),
        ("/whole", Whole),
        ("/unawaited", Unawaited),
        ("/length", Length),
        ("/length_flushed", LengthFlushed),
        ("/fails", Fails),
        ("/fails_after_flush", FailsAfterFlush),
        ("/teapot", Teapot),
        ("/nothing", Nothing),
        ("/away", Away),
        ("/secure", Secure),
        ("/leaves", Leaves),
        ("/leaks", Leaks),
        ("/loops", Loops),
        ("/background", Background),
        ("/block", Block),
        ("/socket", Socket),
        ("/detaches", Detaches),
        ("/streamed", Streamed),
    ],
    static_path=str(STATIC),
    cookie_secret="not much of a secret",
)


def create_app() -> Application:
    return app


# Without handlers.


class Delegate(httputil.HTTPMessageDelegate):
    """Answers with the calls it got."""

    def __init__(self, connection: Any, closed: Callable[[], None]) -> None:
        self.connection = connection
        self.calls: list[str] = []

    def headers_received(self, start_line: Any, headers: httputil.HTTPHeaders) -> None:
        self.start_line = start_line
        self.calls.append(f"{start_line.method} {start_line.path} {start_line.version}")

    def data_received(self, chunk: bytes) -> None:
        self.calls.append(f"data {len(chunk)}")

    def finish(self) -> None:
        path = self.start_line.path
        if path == "/silent":
            self.connection.finish()
        if path == "/raises":
            raise RuntimeError("finish raises")
        if path == "/exits":
            sys.exit(7)
        headers = httputil.HTTPHeaders()
        if path == "/evil":
            headers._as_list["X-Evil"] = ["a\r\nSet-Cookie: b=c"]
        if path == "/early_hint":
            hint = httputil.HTTPHeaders({"Link": "</style.css>"})
            self.connection.write_headers(httputil.ResponseStartLine("", 103, "Early Hints"), hint)
        self.connection.write_headers(httputil.ResponseStartLine("", 200, "OK"), headers)
        self.connection.write(" ".join(self.calls).encode())
        self.connection.finish()

    def on_connection_close(self) -> None:
        say("delegate: on_connection_close")


class Raw(httputil.HTTPServerConnectionDelegate):
    def start_request(self, server_conn: object, request_conn: Any) -> Delegate:
        return Delegate(request_conn, lambda: None)

    def on_close(self, server_conn: object) -> None:
        say("raw: on_close")


raw = Raw()
router = RuleRouter([Rule(PathMatches("/raw/.*"), raw), Rule(PathMatches("/.*"), app)])


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    return []


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    container = WSGIContainer(wsgi)
    server = HTTPServer(app)
