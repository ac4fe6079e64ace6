"""The responder as a process: bodies and answers that are streamed, clients that leave, start and stop."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import fastcgi_peer as peer
import pytest
from fastcgi_peer import Client, Responder

from pyspeed.fastcgi.link import Link
from pyspeed.fastcgi.listener import Listener
from pyspeed.fastcgi.request import Limits
from pyspeed.fastcgi.server import Front

MIB = 1 << 20


@pytest.fixture(scope="module")
def wsgi() -> Iterator[Responder]:
    with Responder("fastcgi_apps:wsgi", "--buffer-body", "100KiB", "--max-body", "60MiB") as responder:
        yield responder
        assert responder.process.poll() is None, responder.log


@pytest.fixture(scope="module")
def asgi() -> Iterator[Responder]:
    with Responder("fastcgi_apps:asgi", "--max-body", "60MiB") as responder:
        yield responder
        assert responder.process.poll() is None, responder.log


@pytest.fixture(params=["wsgi", "asgi"])
def responder(request: pytest.FixtureRequest) -> Responder:
    found: Responder = request.getfixturevalue(request.param)
    return found


def head_only(path: str, length: str = "", keep: bool = False, request_id: int = 1) -> bytes:
    params = peer.environment(path, "POST", CONTENT_LENGTH=length)
    return peer.begin(request_id, keep) + peer.stream(peer.PARAMS, request_id, peer.pairs(params))


def files_of(responder: Responder) -> str:
    """What the process has open."""
    folder = Path("/proc/%d/fd" % responder.process.pid)
    return " ".join(os.readlink(str(entry)) for entry in folder.iterdir() if entry.is_symlink())


# --- bodies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 99999, 100 * 1024, 100 * 1024 + 1, 262145, 3 * MIB])
@pytest.mark.parametrize("told", [True, False])
def test_bodies_both_ways(responder: Responder, size: int, told: bool) -> None:
    body = (b"%d," % size) * (size // 2) + b"x" * size
    body = body[:size]
    with responder.connect() as client:
        client.send(head_only("/echo", str(size) if told else ""))
        client.sock.setblocking(True)
        sent = peer.stream(peer.STDIN, 1, body)
        # The answer of an application that echoes comes while the body is being sent.
        import threading

        sender = threading.Thread(target=client.send, args=(sent,))
        sender.start()
        assert client.answer().body == body
        sender.join()


def test_a_wsgi_application_begins_when_its_body_is_complete(wsgi: Responder) -> None:
    """Up to --buffer-body, so that a slow upload holds no thread."""
    with wsgi.connect() as client, wsgi.connect() as other:
        client.send(head_only("/early", "1000") + peer.record(peer.STDIN, 1, b"x" * 999))
        assert other.get("/hello").body == b"hello"
        client.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.sock.recv(1)
        client.sock.settimeout(peer.TIMEOUT)
        client.send(peer.record(peer.STDIN, 1, b"x"))
        assert client.answer().body == b"early"


def test_a_large_body_does_not_have_to_be_complete(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        client.send(head_only("/early", str(MIB)))
        assert client.answer().body == b"early"


def test_a_length_is_told_where_the_server_did_not(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        client.send(head_only("/environ") + peer.stream(peer.STDIN, 1, b"x" * 4321))
        assert b'"CONTENT_LENGTH": "4321"' in client.answer().body


def test_an_asgi_application_gets_pieces_as_they_come(asgi: Responder) -> None:
    with asgi.connect() as client:
        client.send(head_only("/echo"))
        for number in range(1, 5):
            client.send(peer.record(peer.STDIN, 1, b"piece"))
            assert client.body_so_far(5 * number) == b"piece" * number
        client.send(peer.record(peer.STDIN, 1))
        assert client.answer().body == b"piece" * 4


@pytest.mark.parametrize("told", [True, False])
def test_a_body_too_large(wsgi: Responder, told: bool) -> None:
    size = 60 * MIB + 1
    with wsgi.connect() as client:
        client.send(head_only("/size", str(size) if told else ""))
        if not told:
            for _ in range(61):
                try:
                    client.send(peer.stream(peer.STDIN, 1, b"x" * MIB)[:-8])
                except OSError:
                    break  # answered, and closed
        answer = client.answer()
        assert answer.status == "413 Request Entity Too Large" or answer.status == "413 Content Too Large"


def test_an_answer_before_the_body_is_read(responder: Responder) -> None:
    """END_REQUEST while STDIN still comes: what is left of it belongs to nobody, and the connection goes on."""
    with responder.connect() as client:
        client.send(head_only("/early", str(5 * MIB), keep=True) + peer.record(peer.STDIN, 1, b"x" * 1000))
        assert client.answer().body == b"early"
        client.send(peer.stream(peer.STDIN, 1, b"x" * (5 * MIB - 1000)))
        assert client.get("/hello").body == b"hello"


def test_an_early_answer_is_not_lost_with_the_connection(responder: Responder) -> None:
    """To close a socket with unread bytes would reset it, and the answer with it."""
    with responder.connect() as client:
        client.send(head_only("/early", str(5 * MIB)) + peer.record(peer.STDIN, 1, b"x" * 60000) * 50)
        assert client.answer().body == b"early"


def test_a_body_nobody_reads_is_not_taken_in(wsgi: Responder) -> None:
    """The socket is not read while the application does not read; nothing is written to disk for that."""
    with wsgi.connect() as client:
        client.send(head_only("/wait?nobody", str(50 * MIB)))
        client.sock.setblocking(False)
        block, sent = peer.stream(peer.STDIN, 1, b"x" * 60000)[:-8], 0
        import select

        while select.select([], [client.sock], [], 0.3)[1]:
            try:
                sent += client.sock.send(block[sent % len(block) :])
            except BlockingIOError:
                continue
        assert sent < 4 * MIB, "two windows, and what the kernel holds"
        assert "deleted" not in files_of(wsgi)
        with wsgi.connect() as other:
            assert other.get("/open?nobody").body == b"open"
        client.sock.settimeout(peer.TIMEOUT)
        assert client.answer().body == b"waited"


def test_on_a_shared_connection_such_a_body_goes_to_a_file(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        client.send(head_only("/wait?shared", str(4 * MIB), keep=True))
        client.send(head_only("/echo", "5", keep=True, request_id=2))
        client.send(peer.stream(peer.STDIN, 1, b"x" * 4 * MIB))
        client.send(peer.stream(peer.STDIN, 2, b"other"))
        assert client.answer(2).body == b"other"
        assert "deleted" in files_of(wsgi)
        client.send(peer.request(peer.environment("/open?shared"), request_id=2, keep=True))
        assert client.answer(1).body == b"waited"
        assert client.get("/hello").body == b"hello"


def test_a_large_body_through_a_file(wsgi: Responder) -> None:
    """Two at once on one connection, read slowly by nobody in particular: byte-exact."""
    bodies = {number: bytes(range(256)) * 4096 * number for number in (1, 2)}
    with wsgi.connect() as client:
        for number, body in bodies.items():
            client.send(head_only("/size", str(len(body)), keep=True, request_id=number))
        for at in range(0, 2 * MIB, 65535):
            for number, body in bodies.items():
                if body[at : at + 65535]:
                    client.send(peer.record(peer.STDIN, number, body[at : at + 65535]))
        for number, body in bodies.items():
            assert client.answer(number).body == b"%d" % len(body)


# --- answers --------------------------------------------------------------------------------


def test_chunks_leave_as_they_are_made(wsgi: Responder) -> None:
    with wsgi.connect() as client, wsgi.connect() as other:
        client.send(peer.request(peer.environment("/chunks?leave")))
        assert client.body_so_far(5) == b"first"
        assert other.get("/open?leave").body == b"open"
        assert client.answer().body == b"firstsecond"


def test_a_large_answer(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        answer = client.get("/large?1280")
        assert answer.body == bytes(range(256)) * 64 * 1280


def test_a_server_that_does_not_read_delays_nobody(responder: Responder) -> None:
    slow = [responder.connect() for _ in range(4)]
    try:
        for client in slow:
            client.send(peer.request(peer.environment("/endless")))
            client.body_so_far(1)
        for _ in range(5):
            with responder.connect() as other:
                assert other.get("/hello").body == b"hello"
        status = Path("/proc/%d/status" % responder.process.pid).read_text()
        assert int(status.partition("VmRSS:")[2].split()[0]) < 100 * 1024, "windows bound what is kept"
    finally:
        for client in slow:
            client.__exit__()


# --- who leaves -----------------------------------------------------------------------------


def test_wsgi_aborted(wsgi: Responder) -> None:
    """What it writes is dropped, and the iterable is closed."""
    mark = wsgi.log.count("the iterable was closed")
    with wsgi.connect() as client:
        client.send(peer.request(peer.environment("/endless"), keep=True))
        client.body_so_far(1)
        client.send(peer.record(peer.ABORT, 1))
        client.answer()
        wsgi.until(lambda: wsgi.log.count("the iterable was closed") > mark, "close()")
        assert client.get("/hello").body == b"hello"
    assert "Traceback" not in wsgi.log


def test_asgi_aborted(asgi: Responder) -> None:
    for path in ("/leaves", "/echo", "/endless"):
        mark = asgi.log.count("the client has left")
        with asgi.connect() as client:
            client.send(head_only(path, keep=True) + peer.record(peer.STDIN, 1, b"piece"))
            client.body_so_far(1)
            client.send(peer.record(peer.ABORT, 1))
            client.answer()
            asgi.until(lambda mark=mark: asgi.log.count("the client has left") > mark, "http.disconnect at " + path)
            assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("path", ["/leaves", "/endless", "/echo"])
def test_a_server_that_closes_the_connection(asgi: Responder, path: str) -> None:
    mark = asgi.log.count("the client has left")
    with asgi.connect() as client:
        client.send(head_only(path, "100") + peer.record(peer.STDIN, 1, b"piece"))
        client.body_so_far(1)
    asgi.until(lambda: asgi.log.count("the client has left") > mark, "http.disconnect at " + path)


def test_aborted_before_it_began(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        client.send(head_only("/echo", "100", keep=True) + peer.record(peer.STDIN, 1, b"x"))
        client.send(peer.record(peer.ABORT, 1))
        assert client.answer().output == b""
        assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize(("path", "body"), [("/exit", b""), ("/exit?later", b"some")])
def test_a_process_that_dies(path: str, body: bytes) -> None:
    with Responder("fastcgi_apps:wsgi") as responder, responder.connect() as client:
        client.send(peer.request(peer.environment(path)))
        while client.take() is not None:
            pass
        found = client.answers.get(1, peer.Answer())
        assert not found.ended, "an end without END_REQUEST is how the server knows"
        assert body.startswith(found.body)


def test_a_child_does_not_keep_connections_open(wsgi: Responder) -> None:
    with wsgi.connect() as client, wsgi.connect() as other:
        assert other.get("/hello", keep=True).body == b"hello"
        pid = int(client.get("/pid").body)
        try:
            assert client.at_end()
            other.send(b"no FastCGI at all")  # closed without a farewell
            assert other.at_end()
        finally:
            os.kill(pid, signal.SIGKILL)


def test_a_signal_for_a_child_is_not_the_servers(wsgi: Responder) -> None:
    """multiprocessing ends its processes by SIGTERM; they share the pipe that Python writes signals to."""
    with wsgi.connect() as client:
        pid = int(client.get("/pid", keep=True).body)
        os.kill(pid, signal.SIGTERM)
        assert int(client.get("/await?%d" % pid, keep=True).body) == signal.SIGTERM
        assert client.get("/hello", keep=True).body == b"hello"
    with wsgi.connect() as client:
        assert client.get("/hello").body == b"hello"


def test_an_application_whose_head_was_refused_does_not_go_on(wsgi: Responder) -> None:
    mark = wsgi.log.count("the iterable was closed")
    with wsgi.connect() as client:
        assert client.get("/bad_endless", keep=True).status == "500 Internal Server Error"
        wsgi.until(lambda: wsgi.log.count("the iterable was closed") > mark, "close()")
        assert client.get("/hello").body == b"hello"


# --- listening ------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", ":0"])
def test_tcp(address: str) -> None:
    with Responder("fastcgi_apps:wsgi", address=address) as responder:
        with responder.connect() as client:
            assert client.get("/hello").body == b"hello"
        assert ("FCGI_WEB_SERVER_ADDRS" in responder.log) == (address == ":0"), "a warning where all hosts may connect"


@pytest.mark.parametrize("address", ["fd:0", "none"])
def test_the_listening_socket_on_descriptor_0(address: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "given"))
        listening.listen(8)
        with Responder("fastcgi_apps:wsgi", address=address, stdin=listening) as responder:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(tmp_path / "given"))
                assert Client(sock).get("/hello").body == b"hello"
            assert os.readlink("/proc/%d/fd/0" % responder.process.pid) == "/dev/null"
            assert responder.stop() == 0
        assert (tmp_path / "given").exists(), "it is its owner's to remove"


def test_permissions_of_the_socket() -> None:
    with Responder("fastcgi_apps:wsgi") as responder:
        assert stat.S_IMODE(os.stat(responder.path).st_mode) == 0o660, "as php-fpm's; never open to everybody"
    with Responder("fastcgi_apps:wsgi", "--socket-mode", "600", "--umask", "077") as responder:
        assert stat.S_IMODE(os.stat(responder.path).st_mode) == 0o600


def test_a_stale_socket_is_replaced_and_a_live_one_is_not() -> None:
    with Responder("fastcgi_apps:wsgi") as responder:
        with Responder("fastcgi_apps:wsgi", address=responder.address, ready=False) as second:
            assert second.process.wait(peer.TIMEOUT) == 1
            assert "another process listens on it" in second.log
        with responder.connect() as client:
            assert client.get("/hello").body == b"hello"
        responder.process.kill()
        responder.process.wait()
        assert os.path.exists(responder.path)
        with Responder("fastcgi_apps:wsgi", address=responder.address) as second:
            second.path = responder.path
            with second.connect() as client:
                assert client.get("/hello").body == b"hello"
            assert second.stop() == 0
        assert not os.path.exists(responder.path)


def test_web_servers_that_may_connect() -> None:
    environ = {"FCGI_WEB_SERVER_ADDRS": "192.0.2.1"}
    with Responder("fastcgi_apps:wsgi", address="127.0.0.1:0", env=environ) as responder:
        with responder.connect() as client:
            assert client.at_end()
        responder.wait_for_log("refused a connection from 127.0.0.1")
    environ = {"FCGI_WEB_SERVER_ADDRS": "192.0.2.1,127.0.0.1"}
    with Responder("fastcgi_apps:wsgi", address="127.0.0.1:0", env=environ) as responder, responder.connect() as client:
        assert client.get("/hello").body == b"hello"


def few_descriptors() -> None:
    """64, so that there may be 32 connections. For a child, before it runs."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_no_descriptor_is_left_to_accept_with() -> None:
    with Responder("fastcgi_apps:wsgi", preexec_fn=few_descriptors) as responder, responder.connect() as client:
        assert int(client.get("/hoard", keep=True).body) > 16
        with responder.connect() as other:
            other.send(peer.request(peer.environment("/hello")))
            responder.wait_for_log("cannot accept a connection: Too many open files; trying again")
            assert client.get("/give_back").body == b"given back"
            assert other.answer().body == b"hello"


def test_more_connections_than_there_may_be() -> None:
    """They wait to be accepted, and are once others have closed."""
    with Responder("fastcgi_apps:wsgi", preexec_fn=few_descriptors) as responder:
        clients = [responder.connect() for _ in range(32)]
        try:
            for client in clients:
                assert client.get("/hello", keep=True).body == b"hello"
            with responder.connect() as late:
                late.send(peer.request(peer.environment("/hello")))
                assert clients[0].get("/hello", keep=True).body == b"hello"
                late.sock.setblocking(False)
                with pytest.raises(BlockingIOError):
                    late.sock.recv(1)
                late.sock.settimeout(peer.TIMEOUT)
                clients[1].sock.close()
                assert late.answer().body == b"hello"
        finally:
            for client in clients:
                client.__exit__()


def test_tornado() -> None:
    with Responder("tornado_apps:app") as responder:
        assert "(tornado)" in responder.log
        with responder.connect() as client:
            answer = client.get("/no/such/page", keep=True)
            assert answer.status == "404 Not Found"
            assert answer.field("Content-Type").startswith("text/html")
            client.send(peer.request(peer.environment("/", "HEAD"), keep=True))
            assert client.answer().body == b""
        assert responder.stop() == 0


# --- start and stop -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["fastcgi_apps:wsgi", "--thread", "4"], 1, "did you mean --threads?"),
        (["fastcgi_apps:wsgi", "--app-dir", "/no/such"], 1, "there is no directory /no/such"),
        (["fastcgi_apps:missing"], 4, "has no attribute 'missing'"),
        (["fastcgi_apps:broken_factory", "--factory"], 4, "RuntimeError: no such till"),
        (["no_such_module:app"], 4, "there is no module 'no_such_module'"),
        (["fastcgi_apps:wsgi", "--interface", "asgi"], 3, "as ASGI: it is a WSGI application"),
        (["fastcgi_apps:no_lifespan"], 3, "application startup failed"),
    ],
)
def test_what_cannot_start(words: Any, code: int, message: str) -> None:
    with Responder(*words, ready=False) as responder:
        assert responder.process.wait(peer.TIMEOUT) == code
        assert message in responder.log
        assert not os.path.exists(responder.path)


def test_no_address_and_no_socket() -> None:
    with Responder("fastcgi_apps:wsgi", address="none", ready=False) as responder:
        assert responder.process.wait(peer.TIMEOUT) == 1
        assert "the address is missing" in responder.log


def test_help() -> None:
    command = [sys.executable, "-m", "pyspeed", "--fastcgi", "--help"]
    environ = {**os.environ, "PYTHONPATH": str(peer.SHIM)}
    done = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=peer.TIMEOUT)
    assert b"--graceful-timeout TIME" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("target", ["wsgi", "asgi"])
def test_a_stop_finishes_what_runs(target: str, number: int) -> None:
    with Responder("fastcgi_apps:" + target) as responder:
        with responder.connect() as client, responder.connect() as idle:
            assert idle.get("/hello", keep=True).body == b"hello"
            client.send(peer.request(peer.environment("/wait?stop"), request_id=1, keep=True))
            client.send(peer.request(peer.environment("/hello"), request_id=2, keep=True))
            assert client.answer(2).body == b"hello"
            responder.process.send_signal(number)
            assert idle.at_end(), "a connection without a request is closed"
            assert not os.path.exists(responder.path)
            client.send(peer.request(peer.environment("/open?stop"), request_id=3, keep=True))
            assert client.answer(1).body == b"waited"
            assert client.answer(3).body == b"open"
            assert client.at_end()
        assert responder.process.wait(peer.TIMEOUT) == 0
        assert ("lifespan ended" in responder.log) == (target == "asgi")


def test_recycling_is_a_stop_in_order() -> None:
    """Exit code 0, for the process manager to start another; a signal in the middle of it does not hurry it."""
    with Responder("fastcgi_apps:wsgi") as responder:
        with responder.connect() as client, responder.connect() as idle:
            assert idle.get("/hello", keep=True).body == b"hello"
            client.send(peer.request(peer.environment("/recycle?recycling"), request_id=1, keep=True))
            assert idle.at_end(), "a connection without a request is closed"
            responder.process.send_signal(signal.SIGTERM)
            client.send(peer.request(peer.environment("/open?recycling"), request_id=2, keep=True))
            assert client.answer(1).body == b"recycled"
            assert client.answer(2).body == b"open"
            assert client.at_end()
        assert responder.process.wait(peer.TIMEOUT) == 0
        assert responder.log.count("asked to be recycled") == 1
        assert "asked to be recycled: the cache\\ngrew\n" in responder.log


def test_a_stop_does_not_wait_for_half_a_record() -> None:
    with Responder("fastcgi_apps:wsgi", "--graceful-timeout", "60s") as responder, responder.connect() as client:
        client.send(peer.begin()[:5])
        with responder.connect() as other:
            assert other.get("/hello").body == b"hello"
        responder.process.send_signal(signal.SIGTERM)
        assert client.at_end()
        client.sock.close()
        assert responder.process.wait(peer.TIMEOUT) == 0
        assert "not every request ended in time" not in responder.log


@pytest.mark.parametrize("target", ["wsgi", "asgi"])
def test_the_time_to_stop_is_bounded(target: str) -> None:
    with Responder("fastcgi_apps:" + target, "--graceful-timeout", "100ms") as responder, responder.connect() as client:
        client.send(peer.request(peer.environment("/wait?bounded"), keep=True))
        client.send(peer.request(peer.environment("/hello"), request_id=2, keep=True))
        client.answer(2)
        assert responder.stop() == 0
        assert "not every request ended in time" in responder.log
        assert client.at_end()


def test_a_second_signal_ends_it_at_once() -> None:
    with Responder("fastcgi_apps:wsgi") as responder, responder.connect() as client:
        client.send(peer.request(peer.environment("/wait?second"), keep=True))
        client.send(peer.request(peer.environment("/hello"), request_id=2, keep=True))
        client.answer(2)
        responder.process.send_signal(signal.SIGINT)
        responder.until(lambda: not os.path.exists(responder.path), "the end of listening")
        assert responder.stop(signal.SIGINT) == 0


def test_one_thread_when_asked() -> None:
    with Responder("fastcgi_apps:wsgi", "--threads", "1") as responder, responder.connect() as client:
        assert b'"wsgi.multithread": false' in client.get("/environ").body


def test_hooks() -> None:
    with Responder("fastcgi_hooks_app:app") as responder:
        with responder.connect() as client:
            assert client.get("/").body == b"post_fork, post_worker_init app"
        assert responder.stop() == 0
        assert "worker_exit after a request\n" in responder.log


def test_root_path() -> None:
    with Responder("fastcgi_apps:wsgi", "--root-path", "/shop") as responder, responder.connect() as client:
        body = client.get("/shop/environ").body
        assert b'"SCRIPT_NAME": "/shop"' in body
        assert b'"PATH_INFO": "/environ"' in body
    with Responder("fastcgi_apps:asgi", "--root-path", "/scope") as responder, responder.connect() as client:
        assert b"'root_path': '/scope'" in client.get("/scope/x").body


def test_a_stopping_front_does_not_spin() -> None:
    """A connection that never had a request is due at once for a while, and not while it only lingers."""
    ours, theirs = socket.socketpair()
    limits = Limits("wsgi", "", 1, 1)
    front = Front(Listener(socket.socket(), "none"), ours, limits, 30.0, 16, lambda again: None, lambda: None)
    near, far = socket.socketpair()
    try:
        link = Link(near, front._channel, limits, {}, lambda: True, front._changed.add)
        front._links.add(link)
        front._stopping = time.monotonic() - 2
        far.sendall(b"half a")
        front._go_on_stopping(time.monotonic())
        front._go_on_stopping(time.monotonic())
        assert link.ending
        assert (front._timeout() or 0) > 0
    finally:
        front._selector.close()
        front._listener.close()
        for sock in (ours, theirs, near, far):
            sock.close()
        os.close(front._wake_reader)
        os.close(front._wake_writer)
