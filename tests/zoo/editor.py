"""An application that an editor can be connected to: where, it says in its log."""

from __future__ import annotations

from typing import Any

import debugpy
from keeper import Receive, Send, asgi_app, reply

print("debugpy on {}:{}".format(*debugpy.listen(("127.0.0.1", 0))), flush=True)


async def stop(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    debugpy.breakpoint()
    await reply(send, b"went on")


asgi = asgi_app({"/stop": stop})
