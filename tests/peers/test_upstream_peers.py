"""The gateway's FastCGI client in front of php-fpm, fcgiwrap, flup, Go's net/http/fcgi and our own shim."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import responders
from harness.client import Connection, Response, fetch, request
from harness.server import Server, Spec, binary
from harness.waiting import eventually
from harness.wire import Data, FramingError, Head

MIB = 1024 * 1024


@dataclass
class Lab:
    """A responder behind a gateway."""

    peer: responders.Peer
    server: Server
    folder: Path

    def path(self, name: str) -> str:
        return f"{self.peer.prefix}/{name}"

    def get(self, name: str) -> Response:
        return fetch(self.server.address, "GET", self.path(name))

    def connect(self) -> Connection:
        return Connection(self.server.address)

    def stop(self) -> None:
        try:
            self.server.stop()
        finally:
            self.peer.stop()


def start(kind: str, folder: Path, *, keep_alive: bool, edge: str, **more: str) -> Lab:
    files = folder / "files"
    files.mkdir(parents=True)
    peer = responders.STARTS[kind](folder)
    entry = {"route": "/", "connections": responders.PROCESSES, "keep_alive": keep_alive, **peer.entry, **more}
    settings = {"server": {"buffer_body": "16KiB"}, "server.limits": {"header_bytes": "1MiB"}}
    spec = Spec(target="", directory=folder, edge=edge, settings=settings, upstreams=[entry])
    # A table is the one value that JSON does not write as TOML does.
    original = spec.toml()
    params = {"LAB_DIR": str(files), **peer.params}
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in params.items())
    spec.toml = lambda: f"{original}[upstream.params]\n{lines}"  # type: ignore[method-assign]
    try:
        return Lab(peer, Server.start(spec, folder), files)
    except BaseException:
        peer.stop()
        raise


WAYS = [
    pytest.param((kind, keep_alive), id=f"{kind}-{'kept' if keep_alive else 'new'}")
    for kind in responders.STARTS
    for keep_alive in (False, True)
]


@pytest.fixture(scope="session")
def _labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, bool], Lab]]:
    running: dict[tuple[str, bool], Lab] = {}

    def get(kind: str, keep_alive: bool) -> Lab:
        if (kind, keep_alive) not in running:
            edge = "conn" if keep_alive else "netpoll"
            running[kind, keep_alive] = start(kind, tmp_path_factory.mktemp("peer"), keep_alive=keep_alive, edge=edge)
        return running[kind, keep_alive]

    yield get
    for one in running.values():
        one.stop()


@pytest.fixture(params=WAYS)
def lab(request: pytest.FixtureRequest, _labs: Callable[[str, bool], Lab]) -> Iterator[Lab]:
    one = _labs(*request.param)
    yield one
    # Whatever a test did, the next request gets its own answer.
    for _ in range(2 * responders.PROCESSES):
        got = one.get("hello")
        assert (got.status, got.body) == (200, b"hello"), f"{one.server.log}\n{one.peer.log}"


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def test_params(lab: Lab) -> None:
    long = "l" * 60_000
    with lab.connect() as connection:
        fields = [("X-Long", long), ("Cookie", "a=1"), ("Cookie", "b=2"), ("X_A", "evil"), ("Proxy", "evil")]
        fields += [(f"X-{n}", "v" * 126 + "w" * (n % 4)) for n in range(80)]
        got = connection.request("GET", lab.path("params/%C3%A9?q=%20"), fields).json()
    assert got["REQUEST_URI"] == lab.path("params/%C3%A9?q=%20")
    assert got["QUERY_STRING"] == "q=%20"
    assert got["HTTP_X_LONG"] == long
    assert got["HTTP_COOKIE"] == "a=1; b=2"
    assert all(got[f"HTTP_X_{n}"] == "v" * 126 + "w" * (n % 4) for n in range(80))
    assert "HTTP_PROXY" not in got
    assert "HTTP_X_A" not in got
    if lab.peer.kind != "go":  # has no PATH_INFO, only the decoded URL
        assert got["SCRIPT_NAME"] == lab.peer.prefix
        assert got["PATH_INFO"].encode("latin-1").decode() == "/params/é"


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 5 * MIB])
def test_digest(lab: Lab, size: int) -> None:
    body = (hashlib.sha256(b"seed").digest() * (size // 32 + 1))[:size]
    fields = [("Content-Type", "application/octet-stream"), *([] if size else [("Content-Length", "0")])]
    with lab.connect() as connection:
        got = connection.request("POST", lab.path("digest"), fields, body)
        assert got.json() == [size, hashlib.sha256(body).hexdigest()], got


def test_long_line(lab: Lab) -> None:
    got = lab.get("long")
    assert (got.get("x-long"), got.body) == ("v" * 65536, b"long")


def test_big_answer(lab: Lab) -> None:
    assert lab.get("big").body == b"x" * (32 * MIB)


def test_stream(lab: Lab, name: str) -> None:
    """The first part arrives before the responder has the second."""
    with lab.connect() as connection:
        connection.send(request("GET", lab.path(f"stream?{name}")))
        body = b""
        for event in connection.events():
            if isinstance(event, Data):
                body += event.data
            if body == b"one":
                (lab.folder / name).touch()
        assert body == b"onetwo"


def test_streamed_upload(lab: Lab, name: str) -> None:
    """The responder has the first part before the client sends the second."""
    size = 5 * MIB
    with lab.connect() as connection:
        fields = [("Content-Length", str(size)), ("Content-Type", "application/octet-stream")]
        # PHP reads the whole body of a POST before it runs the script, not that of a PUT.
        connection.send(request("PUT", lab.path(f"upload?{name}"), fields) + b"x" * 200_000)
        eventually((lab.folder / name).exists, "the responder reads")
        connection.send(b"x" * (size - 200_000))
        assert connection.read_response("PUT").body == str(size).encode()


def test_early_answer(lab: Lab) -> None:
    """An answer while the body is still on its way; some responders read the body all the same before they end."""
    size = 2 * MIB
    with lab.connect() as connection:
        fields = [("Content-Length", str(size)), ("Content-Type", "application/octet-stream")]
        connection.send(request("PUT", lab.path("early"), fields) + b"x" * 100_000)
        events = connection.events("PUT")
        head = next(events)
        assert isinstance(head, Head)
        if lab.peer.kind == "fcgiwrap" and head.status == 502:
            return  # its own answer, when the program ends before it has read all
        assert head.status == 403
        connection.send_lenient(b"x" * (size - 100_000))
        body = b"".join(event.data for event in events if isinstance(event, Data))
        assert body == b"early"


# net/http/fcgi gives a handler no way to STDERR.
@pytest.mark.parametrize("lab", [way for way in WAYS if way.values[0][0] != "go"], indirect=True)
def test_error_output(lab: Lab) -> None:
    mark = lab.server.log.mark()
    assert lab.get("stderr").body == b"said"
    lab.server.log.wait_for(r"WARNING .*careful .*x1b.* stream=stderr", mark)
    lab.server.log.wait_for(r"WARNING .*noise", mark)


def test_client_leaves(lab: Lab, name: str) -> None:
    with lab.connect() as connection:
        connection.send(request("GET", lab.path(f"hangs?{name}")))
        events = connection.events()
        assert isinstance(next(events), Head)
        assert isinstance(next(events), Data)
        connection.vanish()
    eventually((lab.folder / name).exists, "the responder's program hears of it")


@pytest.mark.parametrize("kind", responders.STARTS)
def test_responder_dies(kind: str, tmp_path: Path, name: str) -> None:
    """Before the head: 502; inside the answer: cut. fcgiwrap outlives its program and says so itself."""
    for where in ("dies", "dies-later"):
        lab = start(kind, tmp_path / where, keep_alive=False, edge="netpoll")
        try:
            if where == "dies":
                assert lab.get("dies").status == 502, lab.server.log
                continue
            with lab.connect() as connection:
                connection.send(request("GET", lab.path(f"dies-later?{name}")))
                events = connection.events()
                assert isinstance(next(events), Head)
                eventually((lab.folder / name).exists, "it has begun")
                (lab.folder / f"{name}-go").touch()
                if kind == "fcgiwrap":
                    assert sum(len(event.data) for event in events if isinstance(event, Data)) == 100_000
                    continue
                with pytest.raises(FramingError):
                    for _ in events:
                        pass
        finally:
            lab.stop()


def test_probe(lab: Lab) -> None:
    """gofast reads them all too."""
    root = str(lab.peer.entry.get("root", ""))
    params = ["--param", "LAB_DIR=/", "--param", "PATH_INFO=/long"]
    if root:
        params += ["--script-filename", root + lab.peer.prefix, "--param", f"SCRIPT_NAME={lab.peer.prefix}"]
    command = [str(binary()), "probe", *params, str(lab.peer.entry["address"]), lab.path("long")]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"Status: 200\n" in done.stdout
    assert b"X-Long: " + b"v" * 65536 + b"\n" in done.stdout
    assert done.stdout.endswith(b"\n\nlong")


def test_php_paths(_labs: Callable[[str, bool], Lab]) -> None:
    """What is no script under root is not PHP's to run."""
    lab = _labs("php-fpm", False)
    assert fetch(lab.server.address, "GET", "/").body == b"index of /index.php"
    for target in ("/photo.jpg/x.php", "/photo.jpg", "/missing.php", "/lab.PHP/hello", "/lab.php%00/hello"):
        assert fetch(lab.server.address, "GET", target).status in (400, 404), target


def test_php_paths_unchecked(tmp_path: Path) -> None:
    """Where the gateway cannot look at files, PHP's own settings keep it from running the photo."""
    lab = start(
        "php-fpm", tmp_path, keep_alive=False, edge="conn", check_script="off", script=f"{tmp_path}/www/index.php"
    )
    try:
        got = fetch(lab.server.address, "GET", "/photo.jpg/x.php")
        assert (got.status, b"ran" in got.body) == (403, False)
        assert fetch(lab.server.address, "GET", "/lab.php/hello").body == b"hello"
        # A front controller.
        assert fetch(lab.server.address, "GET", "/some/article").body == b"index of /index.php"
    finally:
        lab.stop()
