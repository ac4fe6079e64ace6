"""A Tornado application whose import uses the event loop: what begins there goes on when it is served."""

from __future__ import annotations

import asyncio
import warnings

from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.web import Application, RequestHandler

ticked = False


def tick() -> None:
    global ticked
    ticked = True
    periodic.stop()


with warnings.catch_warnings():
    # Python 3.10 and later, and Tornado with them, would rather have no loop before it runs.
    warnings.simplefilter("ignore", DeprecationWarning)
    loop = IOLoop.current()
    periodic = PeriodicCallback(tick, 1)
    periodic.start()


class Loops(RequestHandler):
    async def get(self) -> None:
        while not ticked:
            await asyncio.sleep(0)
        same = loop is IOLoop.current() and loop.asyncio_loop is asyncio.get_running_loop()
        self.write(repr(same))


app = Application([("/", Loops)])
