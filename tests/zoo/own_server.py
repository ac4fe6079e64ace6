"""Programs that serve an application of their own with ``run_app``: ``python own_server.py KIND [KEYWORD=VALUE …]``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

import pyspeed

GATE = os.environ.get("ZOO_GATE", "") + ".gate"


def say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    answer = b"hello"
    if path == "/where":
        facts = [os.getpid(), threading.current_thread().name, environ["SERVER_SOFTWARE"].split("/")[0]]
        answer = json.dumps(facts).encode()
    elif path == "/wait":
        say("begun")
        while not os.path.exists(GATE):
            time.sleep(0.01)
    elif path == "/stuck":
        say("begun")
        threading.Event().wait()
    elif path == "/break":
        secret = "se" + "cret"
        breakpoint()
        answer = secret.encode()
    elif path == "/exit":
        sys.exit(7)
    elif path == "/raise":
        raise ZeroDivisionError("on purpose")
    elif path == "/env":
        answer = os.environ.get("ZOO_FROM_FILE", "").encode()
    elif path == "/handled":
        answer = str(len(HANDLED)).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            what = (await receive())["type"]
            say(what)
            await send({"type": what + ".complete"})
            if what == "lifespan.shutdown":
                return
    path = scope["path"]
    answer = b"hello"
    if path == "/where":
        facts = [os.getpid(), threading.current_thread().name, type(asyncio.get_running_loop()).__module__]
        answer = json.dumps(facts).encode()
    elif path == "/wait":
        say("begun")
        while not os.path.exists(GATE):
            await asyncio.sleep(0.01)
    elif path == "/stuck":
        say("begun")
        await asyncio.Event().wait()
    elif path == "/block":
        say("begun")
        threading.Event().wait()
    elif path == "/exit":
        sys.exit(7)
    elif path == "/handled":
        answer = str(len(HANDLED)).encode()
    length = str(len(answer)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": answer})


HANDLED: list[int] = []


def closure() -> Any:
    greeting = b"from a closure"

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [greeting]

    return application


def main(kind: str, keywords: dict[str, Any]) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: HANDLED.append(1))
    if kind == "lambda":
        app: Any = lambda environ, start: start("200 OK", []) and [b"from a lambda"]  # noqa: E731
    elif kind == "closure":
        app = closure()
    elif kind in ("wsgi", "asgi"):
        app = globals()[kind]
    else:
        app = kind  # a target
    if keywords.pop("thread", False):
        thread = threading.Thread(target=pyspeed.run_app, args=(app,), kwargs=keywords)
        thread.start()
        thread.join()
    elif keywords.pop("notebook", False):

        async def cell() -> None:
            pyspeed.run_app(app, **keywords)

        asyncio.run(cell())
    else:
        pyspeed.run_app(app, **keywords)
    mine = [t.name for t in threading.enumerate() if t.name.startswith("pyspeed")]
    say(f"returned {mine}")


if __name__ == "__main__":
    main(sys.argv[1], {name: json.loads(value) for name, _, value in (a.partition("=") for a in sys.argv[2:])})
