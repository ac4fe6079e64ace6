"""What is hard between a web server and our FastCGI responder, with a bare WSGI and a bare ASGI application."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import fronts
import pytest
from fronts import Front, Process, Responder, program
from harness.client import Address, Connection, fetch, request
from harness.waiting import eventually
from harness.wire import Data, FramingError, Head

HERE = Path(__file__).parent
KIB = 1024
MIB = 1024 * KIB


# What each server passes on of one field, and of all parameters, whatever it is told.
LARGEST_FIELD = {"nginx": 60 * KIB, "lighttpd": 60 * KIB, "apache": 15 * KIB}


def test_large_parameters(lab: Front) -> None:
    """nginx sends one record of parameters, so at most 64 KiB; lighttpd takes a head of 64 KiB; of a variable of
    more than 16 KiB Apache sends nothing, and says so in its log."""
    size = LARGEST_FIELD[lab.kind]
    answer = fetch(lab.address, "GET", "/fields", [("X-Large", "v" * size)])
    assert answer.status == 200, answer
    assert dict(answer.json())["x-large"] == "v" * size
    many = [(f"X-Part-{number}", f"{number}" * 7000) for number in range(7)]
    found = dict(fetch(lab.address, "GET", "/fields", many).json())
    assert all(found[name.lower()] == value for name, value in many)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/path/%ff", b"/path/\xff"),
        ("/path/a%20b", b"/path/a b"),
        ("/path/caf%C3%A9", b"/path/caf\xc3\xa9"),
        ("/path//x", b"/path//x"),
        ("//path", b"//path"),
        ("/path/a%2Fb", b"/path/a/b"),
        ("/path/a%252Fb", b"/path/a%2Fb"),
    ],
)
def test_paths(lab: Front, target: str, path: bytes) -> None:
    """Decoded once, by the web server; what the client sent is in REQUEST_URI and raw_path."""
    answer = lab.get(target)
    expected = path.decode("latin-1")
    kept = [expected]
    if "%2F" in target and "%25" not in target:
        kept.append("/path/a%2Fb")  # Apache and lighttpd leave it encoded, as told
    if lab.kind == "lighttpd" or target == "//path":
        kept.append(expected.replace("//", "/"))  # lighttpd merges slashes, Apache's ProxyPass those it begins with
    found = answer.json()
    assert found["path"] in kept
    assert found["raw"] == target


def test_empty_path(lab: Front) -> None:
    assert lab.get("/").body == b"hello"
    assert lab.get("/?path").body == b"hello"


def test_field_of_60_kib(lab: Front) -> None:
    if lab.kind == "apache":
        assert lab.get("/large_field?8000").get("x-large") == "h" * 8000
        assert lab.get("/large_field?60000").status == 500
    else:
        assert lab.get("/large_field?60000").get("x-large") == "h" * 60000


def test_stderr_is_in_the_web_servers_log(lab: Front) -> None:
    mark = lab.log.mark()
    assert lab.get("/raise").status == 500
    lab.log.expect("the till is broken", mark)


def test_request_body_arrives_as_it_is_sent(lab: Front) -> None:
    """Each piece is echoed before the next one is sent."""
    if lab.name == "wsgi" or lab.kind == "apache":
        # A WSGI application's bodies up to --buffer-body are complete before it runs; and Apache does not look at
        # the answer before it has passed on the whole body.
        answer = fetch(lab.address, "POST", "/echo?streamed", [], b"x" * MIB)
        assert answer.body == b"x" * MIB
        return
    with lab.connect() as connection:
        connection.send(request("POST", "/echo?streamed", [("Content-Length", "500000")]))
        events = connection.events("POST")
        for _ in range(5):
            connection.send(b"p" * 100000)
            got = 0
            while got < 100000:
                event = next(events)
                if isinstance(event, Data):
                    got += len(event.data)
            assert got == 100000


def test_answer_before_the_body_is_there(lab: Front) -> None:
    with lab.connect() as connection:
        connection.send(request("POST", "/early?streamed", [("Content-Length", str(40 * MIB))]) + b"x" * MIB)
        if lab.kind == "apache":
            connection.send(b"x" * 39 * MIB)  # it passes on the whole body first
        answer = connection.read_response("POST")
        assert answer.body == b"early"
    assert lab.get("/hello").body == b"hello"


def test_client_leaves_in_the_middle_of_an_answer(lab: Front) -> None:
    mark = len(lab.responder.log.since())
    with lab.connect() as connection:
        connection.send(request("GET", "/endless"))
        for event in connection.events():
            if isinstance(event, Data):
                break
        connection.vanish()
    # Whichever way the server tells: ABORT_REQUEST, or the end of the connection.
    lab.responder.log.expect("the iterable was closed" if lab.name == "wsgi" else "the client has left", mark)


def test_client_leaves_in_the_middle_of_a_body(lab: Front) -> None:
    with lab.connect() as connection:
        connection.send(request("POST", "/echo?streamed", [("Content-Length", str(30 * MIB))]) + b"x" * MIB)
        connection.vanish()
    assert lab.get("/hello").body == b"hello"


def test_an_answer_that_fails_in_the_middle_is_cut(lab: Front) -> None:
    """The client must be able to tell it from a whole one."""
    ends_early(lab, "/raise_later")


def ends_early(front: Front, target: str) -> None:
    """The client has read the beginning when the rest fails to come."""
    key = uuid.uuid4().hex
    with front.connect() as connection:
        connection.send(request("GET", f"{target}?{key}"))
        events = connection.events()
        while not isinstance(next(events), Data):
            pass
        assert front.get(f"/open?{key}").body == b"open"
        with pytest.raises((FramingError, ConnectionResetError)):
            list(events)


@pytest.fixture(params=[(kind, name) for kind in ("nginx", "lighttpd", "apache") for name in ("wsgi", "asgi")])
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    """A pair of the test's own, whose responder is to die."""
    kind, name = request.param
    responder = Responder(f"responder_apps:{name}", "--app-dir", str(HERE), folder=tmp_path / "responder")
    front = fronts.start(kind, name, responder, tmp_path / kind)
    request.node.fronts = [front]
    yield front
    front.stop()


def test_a_responder_that_dies_before_the_head(mortal: Front) -> None:
    answer = mortal.get("/exit")
    assert answer.status in ((500,) if mortal.kind == "lighttpd" else (502, 503)), answer


def test_a_responder_that_dies_inside_an_answer(mortal: Front) -> None:
    key = uuid.uuid4().hex
    with mortal.connect() as connection, mortal.connect() as other:
        connection.send(request("GET", f"/exit?{key}"))
        events = connection.events()
        while not isinstance(next(events), Data):
            pass
        other.send(request("GET", f"/open?{key}"))
        with pytest.raises((FramingError, ConnectionResetError)):
            list(events)


def test_a_responder_that_is_stopped_answers_what_it_has(mortal: Front) -> None:
    with mortal.connect() as connection, mortal.connect() as other:
        connection.send(request("GET", "/chunks?stop"))
        events = connection.events()
        assert isinstance(next(events), Head)
        assert isinstance(next(events), Data)
        other.send(request("GET", "/open_at_stop?stop"))
        assert other.read_response().body == b"open"
        mortal.responder.process.terminate()
        assert mortal.responder.process.wait(30) == 0, (
            "after the answer, which goes on by itself once it is told to stop"
        )
        assert b"".join(event.data for event in events if isinstance(event, Data)) == b"second"


def test_spawn_fcgi(tmp_path: Path) -> None:
    """spawn-fcgi binds the socket, and gives it as descriptor 0; cgi-fcgi asks."""
    path = tmp_path / "s"
    script = tmp_path / "app.sh"
    script.write_text(
        f"#!/bin/sh\nPYTHONPATH={fronts.REPOSITORY}/pyshim exec {fronts.sys.executable} "
        f"-m pyspeed --fastcgi fd:0 responder_apps:wsgi --app-dir {HERE} 2>{tmp_path}/log\n"
    )
    script.chmod(0o755)
    spawned = Process([program("spawn-fcgi"), "-n", "-s", str(path), "-M", "600", "--", str(script)], tmp_path)
    try:
        eventually(lambda: b"is served on fd:0" in (tmp_path / "log").read_bytes(), "the responder serves")
        assert ask(path, "/hello").endswith(b"\r\n\r\nhello")
    finally:
        assert spawned.stop() == 0


def ask(address: Path | str, target: str, body: bytes = b"", **more: str) -> bytes:
    """What cgi-fcgi prints."""
    env = {
        "PATH": "/usr/bin",
        "REQUEST_METHOD": "POST" if body else "GET",
        "SCRIPT_NAME": target.partition("?")[0],
        "QUERY_STRING": target.partition("?")[2],
        "REQUEST_URI": target,
        "CONTENT_LENGTH": str(len(body)) if body else "",
        **more,
    }
    command = [program("cgi-fcgi"), "-bind", "-connect", str(address)]
    done = subprocess.run(command, env=env, input=body, capture_output=True, timeout=30, check=False)
    return done.stdout + done.stderr


@pytest.fixture(params=["wsgi", "asgi"])
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Responder]:
    """A responder on a Unix socket, for cgi-fcgi."""
    name = request.param
    address = f"unix:{tmp_path}/s"
    responder = Responder(f"responder_apps:{name}", "--app-dir", str(HERE), folder=tmp_path / "r", address=address)
    yield responder
    assert responder.stop() == 0


def test_cgi_fcgi(alone: Responder) -> None:
    path = alone.address.removeprefix("unix:")
    assert ask(path, "/hello").lower() == b"status: 200 ok\r\ncontent-type: text/plain\r\n\r\nhello"
    # Of larger answers it garbles one in twenty: it loses its place where a read ends inside a record's header.
    body = bytes(range(256)) * 100
    assert ask(path, "/echo", body).partition(b"\r\n\r\n")[2] == body
    assert b"x-large: " + b"h" * 60000 in ask(path, "/large_field?60000").lower()
    found = json.loads(ask(path, "/fields", HTTP_X_LARGE="v" * 100000, HTTP_PROXY="evil").partition(b"\r\n\r\n")[2])
    assert dict(found)["x-large"] == "v" * 100000
    assert "proxy" not in dict(found)
    answer = ask(path, "/raise")
    assert answer.startswith(b"Status: 500 ")
    assert b"ValueError: the till is broken" in answer, "it prints STDERR on its own"


def test_connections_of_the_web_server_are_reused(lab: Front) -> None:
    """nginx and Apache keep theirs where told to; the answers of one connection do not mix."""
    with lab.connect() as connection:
        for number in range(50):
            answer = connection.request("POST", "/echo", [], b"%d" % number * 1000)
            assert answer.body == b"%d" % number * 1000


def test_many_clients(lab: Front) -> None:
    connections = [Connection(Address(lab.address.host, lab.address.port)) for _ in range(30)]
    try:
        for number, connection in enumerate(connections):
            connection.send(request("POST", "/echo", [], b"%d;" % number * 20000))
        for number, connection in enumerate(connections):
            assert connection.read_response("POST").body == b"%d;" % number * 20000
    finally:
        for connection in connections:
            connection.close()


def test_started_by_lighttpd(tmp_path: Path) -> None:
    """With bin-path lighttpd starts the responder itself, its socket as descriptor 0, and ends it again."""
    port = fronts.free_port()
    command = f"{fronts.sys.executable} -m pyspeed --fastcgi responder_apps:wsgi --app-dir {HERE}"
    (tmp_path / "lighttpd.conf").write_text(f"""
server.document-root = "{tmp_path}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{tmp_path}/error.log"
server.modules = ( "mod_fastcgi" )
fastcgi.server = ( "/" => (( "socket" => "{tmp_path}/app.sock", "check-local" => "disable", "max-procs" => 2,
                             "bin-path" => "{command}",
                             "bin-environment" => ( "PYTHONPATH" => "{fronts.REPOSITORY}/pyshim" ) )) )
""")
    server = Process([program("lighttpd"), "-D", "-f", f"{tmp_path}/lighttpd.conf"], tmp_path)
    address = Address("127.0.0.1", port)
    try:
        eventually(lambda: fetch(address, "GET", "/hello").body == b"hello", "an answer")
        assert fetch(address, "GET", "/path//x").json()["path"] == "/path/x", "also without fix-root-scriptname"
    finally:
        server.stop()


def test_an_application_on_gevent(tmp_path: Path) -> None:
    """It has patched sockets and threads, which are not those of the responder's front."""
    (tmp_path / "patched.py").write_text("""
from gevent import monkey

monkey.patch_all()
import threading

gate = threading.Event()


def app(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        gate.wait(30)
    elif environ["PATH_INFO"] == "/open":
        gate.set()
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body or b"done"]
""")
    responder = Responder("patched:app", "--app-dir", str(tmp_path), folder=tmp_path / "responder")
    front = fronts.start("nginx", "patched", responder, tmp_path / "nginx")
    try:
        with front.connect() as first, front.connect() as second:
            first.send(request("GET", "/wait"))
            second.send(request("GET", "/open"))
            assert second.read_response().body == b"done"
            assert first.read_response().body == b"done"
        assert fetch(front.address, "POST", "/echo", [], b"x" * 3 * MIB).body == b"x" * 3 * MIB
        assert responder.stop() == 0
    finally:
        front.stop()
