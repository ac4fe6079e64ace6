"""WSGI applications made ASGI ones by their wrappers, and the other way round."""

from typing import Any

from a2wsgi import ASGIMiddleware, WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body: bytes = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Path", environ["PATH_INFO"])])
    return [b"wsgi ", environ["REQUEST_METHOD"].encode(), b" ", body]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-path", scope["path"].encode())]})
    await send({"type": "http.response.body", "body": b"asgi ", "more_body": True})
    await send({"type": "http.response.body", "body": scope["method"].encode() + b" " + body})


by_asgiref = WsgiToAsgi(wsgi)
by_a2wsgi = WSGIMiddleware(wsgi)
to_wsgi = ASGIMiddleware(asgi)
