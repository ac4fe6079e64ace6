"""A program whose whole standard library is gevent's, with ``run_app``; its module has lifecycle hooks, too."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402 - patched first of all, as gevent asks for
import threading  # noqa: E402
from collections.abc import Iterable  # noqa: E402
from typing import Any  # noqa: E402

import pyspeed  # noqa: E402

together = threading.Barrier(50)  # of greenlets


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    together.wait(30)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"together"]


if __name__ == "__main__":
    pyspeed.run_app(app, port=0)
    sys.stdout.write("returned\n")
