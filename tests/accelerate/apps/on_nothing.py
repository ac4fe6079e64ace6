"""No framework: what is imported, and what is accelerated once it is."""

from __future__ import annotations

import sys


def app(environ, start_response):
    if environ["PATH_INFO"] == "/late":
        from starlette.responses import JSONResponse

        answer = bytes(JSONResponse([1e-7]).body)
    else:
        answer = " ".join(sys.modules).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
