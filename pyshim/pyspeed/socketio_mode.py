"""Socket.IO servers (python-socketio, Flask-SocketIO): whether the way they wait is the worker's.

In: the application, before it is served. Out: StartFailed where its server has settled for greenlets and the
worker has threads: it does so wherever gevent is installed, and its clients would wait for ever. Imported only where
the application has imported engineio, which is what waits in all of them.
"""

from __future__ import annotations

from .control import StartFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def check(app: Any, on_greenlets: bool) -> None:
    """Raise StartFailed where the mode of the Socket.IO server in ``app``, if there is one, does not do."""
    mode = _mode(app)
    if mode in ("", "threading") or (mode == "gevent" and on_greenlets):
        return
    if mode == "gevent":
        remedy = 'set workers.model = "gevent" (--model gevent), or make it SocketIO(app, async_mode="threading")'
    else:
        remedy = 'make it SocketIO(app, async_mode="threading"), or "gevent" with workers.model = "gevent"'
    raise StartFailed(
        "interface",
        "cannot serve the application: its Socket.IO server runs in the mode %r, which the worker does not; %s"
        % (mode, remedy),
    )


def _mode(app: Any) -> str:
    """The ``async_mode`` of the server in the application; "" when there is none to be found."""
    extensions = getattr(app, "extensions", None)
    server = extensions.get("socketio") if isinstance(extensions, dict) else None  # Flask-SocketIO
    if server is None:
        server = getattr(app, "engineio_app", None)  # socketio.WSGIApp, engineio.WSGIApp
    mode = getattr(server, "async_mode", None)
    return mode if isinstance(mode, str) else ""
