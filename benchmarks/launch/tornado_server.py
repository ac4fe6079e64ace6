"""tornado_server.py PORT|unix:PATH MODULE:ATTRIBUTE: Tornado's own HTTPServer, as its guide starts it, on uvloop."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket


async def main(address: str, target: str) -> None:
    sys.path.insert(0, os.getcwd())
    module, _, attribute = target.partition(":")
    server = HTTPServer(getattr(importlib.import_module(module), attribute))
    if address.startswith("unix:"):
        server.add_socket(bind_unix_socket(address[5:]))
    else:
        server.listen(int(address), "127.0.0.1", backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2]))
