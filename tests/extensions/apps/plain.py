"""A WSGI and an ASGI application for middlewares to go around."""

from typing import Any


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/fails":
        raise LookupError("on purpose")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]


async def asgi_application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["path"] == "/fails":
        raise LookupError("on purpose")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})
