"""A Tornado application for what only shows with the real gateway in front."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tornado.web import Application, RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler


class Ok(RequestHandler):
    def get(self) -> None:
        self.write("ok")


class Leaves(RequestHandler):
    """Waits for its client to leave."""

    async def get(self) -> None:
        self.gone = asyncio.Event()
        self.write("here")
        await self.flush()
        await self.gone.wait()
        print("on_connection_close was called", flush=True)

    def on_connection_close(self) -> None:
        self.gone.set()


class Gate(RequestHandler):
    """Answers when the gate is open."""

    async def get(self) -> None:
        gate = Path(os.environ["ZOO_GATE"] + ".gate")
        print("the gate is reached", flush=True)
        while not gate.exists():
            await asyncio.sleep(0.001)
        self.write("through")


class Exits(RequestHandler):
    async def get(self) -> None:
        sys.exit(9)


class Socket(WebSocketHandler):
    def open(self, *args: str, **kwargs: str) -> None:
        print("the socket is open", flush=True)


@stream_request_body
class Refuses(RequestHandler):
    def prepare(self) -> None:
        self.set_status(403)
        self.finish("no uploads here")

    def data_received(self, chunk: bytes) -> None:
        raise AssertionError("a body that was refused is not handed on")


app = Application(
    [("/ok", Ok), ("/leaves", Leaves), ("/gate", Gate), ("/exits", Exits), ("/socket", Socket), ("/refuses", Refuses)]
)
