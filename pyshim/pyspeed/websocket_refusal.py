"""WebSocket handshakes to a WSGI application: a clear answer instead of what the application would make of them.

In: the environ of a request with a Sec-WebSocket-Key. Out: an application that refuses it, on the same thread.
Imported with the first one. Libraries that make WebSockets out of WSGI (simple-websocket, so flask-sock and
Flask-SocketIO) look for the client's socket in the environ, and fail without it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List

    from .wsgi import Application

_REASON = (
    "WebSockets are not served to WSGI applications. Clients of Socket.IO can use long-polling instead "
    "(transports: polling; SocketIO(app, allow_upgrades=False)); an ASGI application is the other way."
)


def refusal(app: Application, logged: List[bool]) -> Application:
    """What is called for a handshake instead of ``app``. ``logged`` is not empty once that was logged."""

    def refuse(environ: Dict[str, Any], start_response: Callable[..., Any]) -> Any:
        upgrade = environ.get("HTTP_UPGRADE", "").lower()
        if "websocket" not in [token.strip() for token in upgrade.split(",")]:
            return app(environ, start_response)  # no handshake (RFC 6455 §4.1), whatever the field is there for
        if not logged:
            logged.append(True)
            path = ascii(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))[1:-1]
            sys.stderr.write(
                "pyspeed: %s asked for a WebSocket and was answered 501, as all such requests are from now on: %s\n"
                % (path, _REASON)
            )
        body = ("501 Not Implemented\n\n%s\n" % _REASON).encode()
        start_response(
            "501 Not Implemented", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        )
        return [body]

    return refuse
