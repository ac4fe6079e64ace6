"""FastCGI 1.0 point by point, against a real responder process."""

from __future__ import annotations

import json
import socket
import struct
from ast import literal_eval
from typing import Iterator

import fastcgi_peer as peer
import pytest
from fastcgi_peer import Responder


@pytest.fixture(scope="module")
def wsgi() -> Iterator[Responder]:
    with Responder("fastcgi_apps:wsgi") as responder:
        yield responder
        assert responder.process.poll() is None, responder.log


@pytest.fixture(scope="module")
def asgi() -> Iterator[Responder]:
    with Responder("fastcgi_apps:asgi") as responder:
        yield responder
        assert responder.process.poll() is None, responder.log


@pytest.fixture(params=["wsgi", "asgi"])
def responder(request: pytest.FixtureRequest) -> Responder:
    found: Responder = request.getfixturevalue(request.param)
    return found


def test_an_answer(responder: Responder) -> None:
    with responder.connect() as client:
        answer = client.get("/hello")
        assert answer.output.lower() == b"status: 200 ok\r\ncontent-type: text/plain\r\n\r\nhello"
        assert answer.kinds[-2:] == [peer.STDOUT, peer.END], "§3.3: a stream is ended by an empty record"
        assert answer.chunks[-1] == b""
        assert (answer.app_status, answer.protocol_status) == (0, 0)
        assert answer.stderr == b""


def test_the_connection_is_closed_without_keep_conn(responder: Responder) -> None:
    with responder.connect() as client:
        client.get("/hello", keep=False)
        assert client.at_end()


def test_the_connection_is_kept_with_keep_conn(responder: Responder) -> None:
    with responder.connect() as client:
        for number in range(5):
            client.send(peer.request(peer.environment("/hello"), request_id=number % 2 + 1, keep=True))
            assert client.answer(number % 2 + 1).body == b"hello"
        client.get("/hello", keep=False)
        assert client.at_end()


def test_requests_of_one_connection_are_multiplexed(responder: Responder) -> None:
    """The second is answered while the first one runs; FCGI_MPXS_CONNS says so."""
    with responder.connect() as client:
        client.send(peer.request(peer.environment("/wait?requestsofoneconnectiona"), request_id=1, keep=True))
        client.send(peer.request(peer.environment("/hello"), request_id=2, keep=True))
        assert client.answer(2).body == b"hello"
        client.send(peer.request(peer.environment("/open?requestsofoneconnectiona"), request_id=3, keep=True))
        assert client.answer(3).body == b"open"
        assert client.answer(1).body == b"waited"


def test_a_connection_that_is_not_kept_waits_for_all_its_requests(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(peer.request(peer.environment("/wait?aconnectionthatisnotkept"), request_id=1, keep=False))
        client.send(peer.request(peer.environment("/open?aconnectionthatisnotkept"), request_id=2, keep=False))
        assert {client.answer(1).body, client.answer(2).body} == {b"waited", b"open"}
        assert client.at_end()


@pytest.mark.parametrize("role", [0, 2, 3, 65535])
@pytest.mark.parametrize("keep", [False, True])
def test_other_roles_are_unknown(responder: Responder, role: int, keep: bool) -> None:
    with responder.connect() as client:
        client.send(peer.begin(1, keep, role) + peer.stream(peer.PARAMS, 1, b"") + peer.stream(peer.DATA, 1, b"x"))
        answer = client.answer()
        assert (answer.protocol_status, answer.output) == (3, b"")
        if keep:
            assert client.get("/hello").body == b"hello"
        assert client.at_end()


def test_values(responder: Responder) -> None:
    names = ["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS", "PYSPEED_PROFILE", "X"]
    with responder.connect() as client:
        client.send(peer.record(peer.GET_VALUES, 0, peer.pairs(dict.fromkeys(names, "")), padding=7))
        kind, _, content = client.take() or (0, 0, b"")
        assert kind == peer.GET_VALUES_RESULT
        found, at = {}, 0
        while at < len(content):
            n, v = content[at : at + 2]
            at += 2 + n + v
            found[content[at - n - v : at - v].decode()] = content[at - v : at].decode()
        assert sorted(found) == names[:3]
        assert found["FCGI_MPXS_CONNS"] == "1"
        assert int(found["FCGI_MAX_CONNS"]) >= 16
        assert client.get("/hello").body == b"hello"


def test_unknown_types(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(peer.record(99, 0, b"x" * 300) + peer.begin(keep=True) + peer.record(99, 1, b"ignored"))
        assert client.take() == (peer.UNKNOWN, 0, bytes([99]) + bytes(7))
        rest = peer.stream(peer.PARAMS, 1, peer.pairs(peer.environment("/hello"))) + peer.stream(peer.STDIN, 1, b"")
        client.send(rest)
        assert client.answer().body == b"hello"


def test_the_profile_is_not_spoken(responder: Responder) -> None:
    """REQUEST of pyspeed/1 is for inherited sockets: here it is an unknown type, and nothing is run."""
    with responder.connect() as client:
        client.send(peer.record(64, 0, b"x"))
        assert client.take() == (peer.UNKNOWN, 0, bytes([64]) + bytes(7))
        client.send(peer.record(64, 1, b"x"))
        assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("size", [0, 127, 128, 65535, 65536, 200000])
def test_lengths_of_values(wsgi: Responder, size: int) -> None:
    with wsgi.connect() as client:
        found = json.loads(client.get("/environ", HTTP_X_LARGE="v" * size).body)
        assert found["HTTP_X_LARGE"] == "v" * size


def test_parameters_too_large(responder: Responder) -> None:
    with responder.connect() as client:
        answer = client.get("/hello", keep=True, HTTP_X="v" * 1100000)
        assert answer.status == "431 Request Header Fields Too Large"
        assert b"parameters are too large" in answer.stderr
        assert client.get("/hello").body == b"hello"


def test_a_request_byte_by_byte(responder: Responder) -> None:
    data = peer.request(peer.environment("/echo", "POST", b"12345"), b"12345")
    with responder.connect() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for at in range(len(data)):
            client.send(data[at : at + 1])
        assert client.answer().body == b"12345"


@pytest.mark.parametrize("padding", [0, 1, 7, 255])
def test_padding(responder: Responder, padding: int) -> None:
    body = bytes(range(256)) * 1000
    with responder.connect() as client:
        client.send(peer.begin())
        client.send(peer.stream(peer.PARAMS, 1, peer.pairs(peer.environment("/echo", "POST", body)), 100, padding))
        client.send(peer.stream(peer.STDIN, 1, body, 65535, padding))
        assert client.answer().body == body


def test_stdin_before_the_parameters_end(responder: Responder) -> None:
    """The streams of one request may be interleaved (§3.3)."""
    params = peer.pairs(peer.environment("/echo", "POST", b"12345"))
    with responder.connect() as client:
        client.send(peer.begin() + peer.record(peer.PARAMS, 1, params[:20]) + peer.record(peer.STDIN, 1, b"123"))
        client.send(peer.record(peer.PARAMS, 1, params[20:]) + peer.record(peer.STDIN, 1, b"45"))
        client.send(peer.record(peer.STDIN, 1) + peer.record(peer.PARAMS, 1))
        assert client.answer().body == b"12345"


def test_bodies_that_are_interleaved(responder: Responder) -> None:
    bodies = {number: bytes([number]) * 100000 for number in (1, 2, 3)}
    with responder.connect() as client:
        for number, body in bodies.items():
            params = peer.pairs(peer.environment("/echo", "POST", body))
            client.send(peer.begin(number, keep=True) + peer.stream(peer.PARAMS, number, params))
        for at in range(0, 100000, 10000):
            client.send(b"".join(peer.record(peer.STDIN, n, body[at : at + 10000]) for n, body in bodies.items()))
        for number, body in bodies.items():
            assert client.answer(number).body == body


def test_records_of_no_request_are_ignored(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(peer.record(peer.STDIN, 9, b"x") + peer.record(peer.PARAMS, 9, b"x") + peer.record(peer.ABORT, 9))
        assert client.get("/hello").body == b"hello"


WRONG = {
    "another version": peer.record(peer.STDIN, 1, b"x", version=2),
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "begun twice": peer.begin() + peer.begin(),
    "begun without an id": peer.begin(0),
    "a short begin": peer.record(peer.BEGIN, 1, b"\0\1"),
    "parameters that do not end": peer.begin() + peer.stream(peer.PARAMS, 1, b"\xff\xff\xff\xff\xff\xff\xff\xffab"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_error_closes_that_connection_only(responder: Responder, name: str) -> None:
    with responder.connect() as other, responder.connect() as client:
        other.send(peer.begin(keep=True))
        client.send(WRONG[name])
        assert client.at_end()
        rest = peer.stream(peer.PARAMS, 1, peer.pairs(peer.environment("/hello"))) + peer.stream(peer.STDIN, 1, b"")
        other.send(rest)
        assert other.answer().body == b"hello"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_an_end_at_any_point(responder: Responder, share: float) -> None:
    data = peer.request(peer.environment("/echo", "POST", b"x" * 5000), b"x" * 5000)
    with responder.connect() as client:
        client.send(data[: int(len(data) * share)])
    with responder.connect() as client:
        assert client.get("/hello").body == b"hello"


def test_abort_is_answered(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(peer.begin(keep=True) + peer.stream(peer.PARAMS, 1, peer.pairs(peer.environment("/echo", "POST"))))
        client.send(peer.record(peer.ABORT, 1))
        answer = client.answer()
        assert (answer.output, answer.protocol_status) == (b"", 0)
        assert client.get("/hello", keep=True).body == b"hello"
        client.send(peer.request(peer.environment("/endless"), keep=True))
        client.body_so_far(100000)
        client.send(peer.record(peer.ABORT, 1))
        assert client.answer().protocol_status == 0
        assert client.get("/hello").body == b"hello"


def test_overloaded() -> None:
    """More requests than FCGI_MAX_REQS, which follows from the number of descriptors."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))  # noqa: E731
    with Responder("fastcgi_apps:asgi", preexec_fn=limit) as responder, responder.connect() as client:
        client.send(peer.record(peer.GET_VALUES, 0, peer.pairs({"FCGI_MAX_REQS": ""})))
        assert client.take() == (peer.GET_VALUES_RESULT, 0, peer.pairs({"FCGI_MAX_REQS": "32"}))
        for number in range(1, 34):
            client.send(peer.request(peer.environment("/wait?overloaded"), request_id=number, keep=True))
        answer = client.answer(33)
        assert (answer.protocol_status, answer.output) == (2, b"")


def test_stderr_comes_with_its_request(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        client.send(peer.request(peer.environment("/errors"), request_id=1, keep=True))
        client.send(peer.request(peer.environment("/hello"), request_id=2, keep=True))
        assert client.answer(2).stderr == b""
        answer = client.answer(1)
        assert answer.stderr == b"a line for the log\n"
        assert answer.kinds.count(peer.STDERR) == 2, "§3.3: a stream that was used is ended by an empty record"


def test_tracebacks_come_with_their_request(responder: Responder) -> None:
    with responder.connect() as client:
        answer = client.get("/raise")
        assert (answer.status, answer.app_status) == ("500 Internal Server Error", 1)
        assert b"till" not in answer.output
        assert answer.stderr.startswith(b"pyspeed: GET /raise")
        assert answer.stderr.rstrip().endswith(b"ValueError: the till is broken")
        assert b"pyspeed/" not in answer.stderr, "the shim's own frames are nobody's concern"


@pytest.mark.parametrize("target", ["/raise_later", "/short"])
def test_an_incomplete_answer_is_cut(wsgi: Responder, target: str) -> None:
    """Web servers ignore appStatus; an end of the connection without END_REQUEST they notice."""
    with wsgi.connect() as client:
        client.send(peer.request(peer.environment(target), keep=True))
        while client.take() is not None:
            pass
        answer = client.answers[1]
        assert answer.body in (b"some", b"short")
        assert not answer.ended
        assert answer.stderr


def test_an_incomplete_answer_beside_others(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        client.send(peer.request(peer.environment("/wait?anincompleteanswerbeside"), request_id=1, keep=True))
        client.send(peer.request(peer.environment("/raise_later"), request_id=2, keep=True))
        assert client.answer(2).app_status == 1
        client.send(peer.request(peer.environment("/open?anincompleteanswerbeside"), request_id=3, keep=True))
        assert client.answer(1).body == b"waited"


def test_huge_stderr_does_not_block_stdout(wsgi: Responder) -> None:
    """Nobody reads while it is written; what the connection does not take goes to the process's standard error."""
    with wsgi.connect() as client, wsgi.connect() as other:
        client.send(peer.request(peer.environment("/errors?30000000")))
        assert other.get("/hello").body == b"hello"
        answer = client.answer()
        assert answer.body == b"said"
        assert 0 < len(answer.stderr) < 30_000_000, "nothing keeps what the server does not take"
        assert "eeee" in wsgi.log


@pytest.mark.parametrize("target", ["/a%2Fb", "//", "//x//y", "/%ff", "/%00", "/caf%C3%A9"])
def test_paths(asgi: Responder, target: str) -> None:
    with asgi.connect() as client:
        from urllib.parse import unquote_to_bytes

        plain = unquote_to_bytes(target)
        got = client.get("/scope", SCRIPT_NAME="/scope", PATH_INFO=plain.decode("latin-1"), REQUEST_URI=target)
        found = literal_eval(got.body.decode())
        assert found["path"] == "/scope" + plain.decode("utf-8", "replace")
        assert found["raw_path"] == target.encode()


def test_head(responder: Responder) -> None:
    with responder.connect() as client:
        client.send(peer.request(peer.environment("/head", "HEAD")))
        answer = client.answer()
        assert (answer.status, answer.body, answer.stderr) == ("200 OK", b"", b"")


def test_fields_of_the_answer(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        answer = client.get("/head?65536")
        assert answer.status == "200 OK"
        assert answer.field("X-Large") == "h" * 65536
        assert [name for name, _ in answer.fields] == ["Status", "X-Large", "Set-Cookie"]


def test_a_head_that_may_not_be_sent(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        answer = client.get("/bad_header")
        assert answer.status == "500 Internal Server Error"
        assert b"X-Two" not in answer.output
        assert b"control character" in answer.stderr


def test_a_header_that_is_no_pair(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        answer = client.get("/bad_pair", keep=True)
        assert answer.status == "500 Internal Server Error"
        assert b"no pair of a name and a value" in answer.stderr
        assert client.get("/hello").body == b"hello"


def test_informational_answers_are_left_out(asgi: Responder) -> None:
    with asgi.connect() as client:
        answer = client.get("/early_hint")
        assert (answer.status, answer.body) == ("200 OK", b"final")


def test_more_than_content_length(asgi: Responder) -> None:
    with asgi.connect() as client:
        answer = client.get("/too_much")
        assert answer.body == b"four"
        assert b"9 bytes more" in answer.stderr


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"REQUEST_METHOD": ""}, 400),
        ({"CONTENT_LENGTH": "many"}, 400),
        ({"CONTENT_LENGTH": "5"}, 400),  # and no body
        ({"CONTENT_LENGTH": str(1 << 40)}, 413),
    ],
)
def test_requests_that_are_refused(responder: Responder, params: dict[str, str], status: int) -> None:
    with responder.connect() as client:
        answer = client.get("/hello", keep=True, **params)
        assert answer.status.startswith(str(status))
        assert answer.stderr.startswith(b"pyspeed: ")
        assert client.get("/hello").body == b"hello"


def test_httpoxy(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        found = json.loads(client.get("/environ", HTTP_PROXY="http://evil.test").body)
        assert not [name for name in found if "PROXY" in name]


def test_the_environ_is_complete(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        found = json.loads(client.get("/environ").body)
        assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("", "/environ")
        assert found["wsgi.multiprocess"] is True
        assert found["wsgi.version"] == [1, 0]


def test_end_request_is_of_eight_bytes(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        client.send(peer.request(peer.environment("/hello")))
        last = None
        while (found := client.next_record()) is not None:
            last = found
        assert last == (peer.END, 1, struct.pack(">IB3x", 0, 0))


def test_the_next_request_sees_nothing_of_the_one_before(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        first = json.loads(client.get("/environ", keep=True, HTTP_X_SECRET="1", REMOTE_USER="ann").body)
        second = json.loads(client.get("/environ", keep=True).body)
        assert first["HTTP_X_SECRET"] == "1"
        assert {"HTTP_X_SECRET", "REMOTE_USER"}.isdisjoint(second)


def test_text_written_after_the_end_is_nobody_elses(wsgi: Responder) -> None:
    with wsgi.connect() as client:
        assert client.get("/late_errors?textwrittenaftertheendis", keep=True).stderr == b""
        # It is allowed to write now, and other requests are under way.
        answers = [client.get("/open?textwrittenaftertheendis", keep=True) for _ in range(20)]
        wsgi.wait_for_log("written after the end")
        assert [answer.stderr for answer in answers] == [b""] * 20


def test_clients_side_by_side(responder: Responder) -> None:
    clients = [responder.connect() for _ in range(20)]
    try:
        for number, client in enumerate(clients):
            body = b"%d;" % number * 5000
            client.send(peer.request(peer.environment("/echo", "POST", body), body, keep=True))
        for number, client in enumerate(clients):
            assert client.answer().body == b"%d;" % number * 5000
    finally:
        for client in clients:
            client.__exit__()
