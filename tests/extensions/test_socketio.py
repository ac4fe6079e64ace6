"""Flask-SocketIO over long-polling, with its own client; and what becomes of WebSockets."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio
from harness.client import Connection, fetch
from harness.server import Server, Spec

APPS = Path(__file__).resolve().parent / "apps"

Start = Callable[..., Server]

HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)


def spec(target: str, model: str = "threads", edge: str = "netpoll", mode: str = "") -> Spec:
    return Spec(
        target=target,
        directory=APPS,
        workers=1,
        edge=edge,
        env={"SOCKETIO_MODE": mode or {"threads": "threading", "gevent": "gevent"}[model]},
        settings={"workers": {"model": model}},
    )


@pytest.fixture(params=["threads-netpoll", "gevent-conn"])
def server(request: pytest.FixtureRequest, start: Start) -> Server:
    model, edge = request.param.split("-")
    server = start(spec("socketio_app:app", model, edge))
    mode = fetch(server.address, "GET", "/mode").body.decode()
    assert mode == {"threads": "threading", "gevent": "gevent"}[model]
    return server


def disconnect(client: socketio.Client) -> None:
    session = client.eio.http
    client.disconnect()
    if session is not None:
        session.close()


class Client:
    """A Socket.IO client that polls, and keeps what it heard."""

    def __init__(self, server: Server, auth: Any = None) -> None:
        self.heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.gone = threading.Event()
        self.io = socketio.Client(reconnection=False)
        self.io.on("*", lambda event, *data: self.heard.put((event, *data)))
        self.io.on("disconnect", lambda reason: self.gone.set())
        host, port = server.address.host, server.address.port
        self.io.connect(f"http://{host}:{port}", transports=["polling"], auth=auth, wait_timeout=20)

    def expect(self, event: str) -> Any:
        """The next event, which is to be that one."""
        got, *data = self.heard.get(timeout=20)
        assert got == event, (got, data)
        return data[0]

    def call(self, event: str, *data: Any) -> Any:
        return self.io.call(event, data, timeout=20)

    def close(self) -> None:
        disconnect(self.io)


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def one(auth: Any = None) -> Client:
        clients.append(Client(server, auth))
        return clients[-1]

    yield one
    for client in clients:
        client.close()


def test_socketio_by_polling(server: Server, connect: Callable[..., Client]) -> None:
    """Connecting, acknowledgements, broadcasts, rooms, background tasks, binary data, leaving."""
    ann, bob = connect({"token": "t"}), connect()
    welcome = ann.expect("welcome")
    assert welcome["auth"] == {"token": "t"}
    assert bob.expect("welcome")["sid"] != welcome["sid"]

    assert ann.call("add", 2, 3) == 5
    assert ann.call("binary", b"\x00\xff\x01") == b"\x01\xff\x00"

    ann.io.emit("shout", "hello")
    assert ann.expect("heard") == "hello"
    assert bob.expect("heard") == "hello"

    assert bob.call("enter", "library") == "library"
    ann.io.emit("whisper", ("library", "psst"))
    assert bob.expect("heard") == "psst"
    assert bob.call("leave", "library") == "library"
    ann.io.emit("whisper", ("library", "nobody"))
    ann.io.emit("shout", "again")
    assert bob.expect("heard") == "again"
    assert ann.expect("heard") == "again"

    ann.io.emit("count", 10)
    assert [ann.expect("number") for _ in range(10)] == list(range(10))

    bob.close()
    assert ann.expect("left") == "client disconnect"
    assert "Traceback" not in str(server.log)


def test_many_clients_poll_at_once(server: Server, connect: Callable[..., Client]) -> None:
    """A poll waits in the application for as long as nothing happens; so do twenty, beside other requests."""
    clients = [connect() for _ in range(20)]
    for client in clients:
        client.expect("welcome")
    assert fetch(server.address, "GET", "/mode").status == 200
    clients[0].io.emit("shout", "all")
    for client in clients:
        assert client.expect("heard") == "all"


def test_a_stop_while_clients_poll(start: Start) -> None:
    """Polls are requests that wait; a graceful stop gives them server.timeouts.shutdown, and not more."""
    one = spec("socketio_app:app")
    one.settings = {**one.settings, "server": {}, "server.timeouts": {"shutdown": "500ms"}}
    server = start(one)
    client = Client(server)
    client.expect("welcome")
    try:
        assert server.terminate() == 0
        assert client.gone.wait(20)
    finally:
        client.close()


@pytest.mark.parametrize(("model", "mode"), [("threads", "gevent"), ("threads", "auto")])
def test_a_server_that_would_wait_for_ever(start: Start, model: str, mode: str) -> None:
    """Flask-SocketIO chooses gevent's mode where gevent is installed, and does not work in threads then."""
    one = spec("socketio_app:app", model, mode=mode)
    if mode == "auto":
        one.env = {}
    server = start(one, ready=False)
    assert server.wait_exit() == 3
    assert "its Socket.IO server runs in the mode 'gevent', which the worker does not; set workers.model" in str(
        server.log
    )


def asks_for_a_websocket(server: Server, target: str) -> str:
    with Connection(server.address) as connection:
        answer = connection.request("GET", target, HANDSHAKE)
        # The connection goes on as it was.
        assert answer.status == 501
        assert connection.request("GET", "/").status in (200, 404)
    return answer.body.decode()


@pytest.mark.parametrize(
    ("target", "path"),
    [("socketio_app:app", "/socket.io/?EIO=4&transport=websocket"), ("sock_app:app", "/echo")],
    ids=["flask-socketio", "flask-sock"],
)
def test_websockets_are_refused(start: Start, target: str, path: str) -> None:
    """With a reason for who looks at the answer, and one line for who looks at the log; the rest goes on."""
    server = start(spec(target))
    for _ in range(3):
        assert "WebSockets are not served to WSGI applications" in asks_for_a_websocket(server, path)
    assert server.terminate() == 0
    log = str(server.log)
    assert log.count("asked for a WebSocket and was answered 501") == 1
    assert "Traceback" not in log


def test_a_client_that_insists_on_websockets_is_told(start: Start) -> None:
    server = start(spec("socketio_app:app"))
    host, port = server.address.host, server.address.port
    client = socketio.Client(reconnection=False)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(f"http://{host}:{port}", transports=["websocket"], wait_timeout=20)
    server.log.wait_for("asked for a WebSocket and was answered 501")


def test_a_client_that_would_rather_upgrade_stays_with_polling(start: Start) -> None:
    """What Socket.IO clients do by default."""
    server = start(spec("socketio_app:app"))
    host, port = server.address.host, server.address.port
    client = socketio.Client(reconnection=False)
    client.connect(f"http://{host}:{port}", wait_timeout=20)
    try:
        assert client.transport() == "polling"
        assert client.call("add", (1, 2), timeout=20) == 3
    finally:
        disconnect(client)


def test_a_field_that_is_no_handshake(start: Start) -> None:
    """Without Upgrade: websocket it is an ordinary request."""
    server = start(spec("sock_app:app"))
    with Connection(server.address) as connection:
        answer = connection.request("GET", "/", [("Sec-WebSocket-Key", "x"), ("Upgrade", "h2c")])
    assert answer.body == b"flask-sock"
