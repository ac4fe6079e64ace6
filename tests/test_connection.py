"""Connections: persistence, pipelining, versions, Expect, HEAD, the kinds of address."""

from __future__ import annotations

import socket
import threading

import pytest
from conftest import Shop
from harness.client import Connection, chunked, fetch, request
from harness.wire import Head


def test_keep_alive(shop: Shop) -> None:
    with shop.connect() as connection:
        for number in range(1, 51):
            answer = connection.request("GET", f"/items/{number}")
            assert answer.json()["id"] == number
            assert not answer.head.closes


def test_connection_close_is_honoured(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.send(request("GET", "/items/1", [("Connection", "close")]))
        answer = connection.read_response()
        assert answer.status == 200
        assert answer.head.closes  # RFC 9112 §9.6: it says so in its last answer
        connection.expect_closed()


@pytest.mark.pyspeed
def test_http_1_0_closes(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.send(b"GET /items/1 HTTP/1.0\r\n\r\n")
        answer = connection.read_response()
        assert answer.status == 200
        connection.expect_closed()


@pytest.mark.pyspeed
def test_http_1_0_keep_alive(shop: Shop) -> None:
    with shop.connect() as connection:
        for _ in range(3):
            connection.send(b"GET /items/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = connection.read_response()
            assert answer.status == 200
            if answer.get("content-length"):
                # RFC 9112 §9.3: an HTTP/1.0 client only knows from the field.
                assert answer.get("connection").lower() == "keep-alive"


@pytest.mark.pyspeed
@pytest.mark.parametrize("field", [b"", b"Connection: keep-alive\r\n"], ids=["plain", "keep-alive"])
def test_http_1_0_stream_is_not_chunked(shop: Shop, field: bytes) -> None:
    """RFC 9112 §6.1: no Transfer-Encoding to HTTP/1.0; the end of the connection ends the body."""
    with shop.connect() as connection:
        connection.send(b"GET /download?mib=1 HTTP/1.0\r\n" + field + b"\r\n")
        answer = connection.read_response()
        assert answer.status == 200
        assert not answer.head.get_all("transfer-encoding")
        assert len(answer.body) == 1024 * 1024


def test_pipelined_answers_keep_their_order(shop: Shop) -> None:
    """The first is the slowest."""
    waits = [60, 0, 30, 0, 0, 20, 0]
    with shop.connect() as connection:
        connection.send(b"".join(request("GET", f"/slow?ms={ms}") for ms in waits))
        assert [connection.read_response().json()["slept_ms"] for _ in waits] == waits


def test_pipelined_requests_with_bodies(shop: Shop) -> None:
    bodies = [b"first", b"", b"x" * 70_000, b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"last"]
    raw = b""
    for number, body in enumerate(bodies):
        if number % 2:
            raw += request("POST", "/echo", [("Transfer-Encoding", "chunked")]) + chunked([body[:3], body[3:]])
        else:
            raw += request("POST", "/echo", [("Content-Length", "0")] if not body else [], body)
    with shop.connect() as connection:
        connection.send_pieces(raw, [7, 100, 50_000, 11])
        assert [connection.read_response().body for _ in bodies] == bodies


def test_pipelined_mix_of_methods(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.send(
            request("HEAD", "/items")
            + request("GET", "/empty")
            + request("GET", "/error")
            + request("HEAD", "/download?mib=2")
            + request("GET", "/items/7")
        )
        assert connection.read_response("HEAD").status == 200
        assert connection.read_response().status == 204
        answer = connection.read_response()
        assert answer.status == 500
        if answer.head.closes:
            connection.expect_closed()
            return
        assert connection.read_response("HEAD").status == 200
        assert connection.read_response().json()["id"] == 7


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_expect_100_continue(shop: Shop, framing: str) -> None:
    """The body is sent after 100 was read, and only then is there a final answer (RFC 9110 §10.1.1)."""
    body = b"sent after the interim answer"
    field = ("Content-Length", str(len(body))) if framing == "length" else ("Transfer-Encoding", "chunked")
    with shop.connect() as connection:
        connection.send(request("POST", "/echo", [("Expect", "100-continue"), field]))
        events = connection.events("POST")
        interim = next(events)
        assert isinstance(interim, Head) and interim.status == 100
        connection.send(body if framing == "length" else chunked([body]))
        assert b"".join(getattr(event, "data", b"") for event in events) == body
        assert connection.request("GET", "/items/1").status == 200


def test_expect_with_the_body_already_sent(shop: Shop) -> None:
    """RFC 9110 §10.1.1: 100 may be left out then; the framing is right either way."""
    with shop.connect() as connection:
        for _ in range(2):
            connection.send(request("POST", "/echo", [("Expect", "100-continue")], b"at once"))
            answer = connection.read_response()
            assert (answer.status, answer.body) == (200, b"at once")
            assert [head.status for head in answer.interim] in ([], [100])


@pytest.mark.pyspeed
def test_expect_answered_without_the_body(shop: Shop) -> None:
    """A final answer instead of 100: the connection may not go on as if the body had come."""
    with shop.connect() as connection:
        fields = [("Expect", "100-continue"), ("Content-Length", str(10**12))]
        connection.send(request("POST", "/echo", fields))
        answer = connection.read_response("POST")
        assert (answer.status, answer.interim) == (413, [])
        assert answer.head.closes
        connection.expect_closed()


@pytest.mark.pyspeed
def test_expect_in_http_1_0_is_ignored(shop: Shop) -> None:
    """RFC 9110 §10.1.1: a 100 to an HTTP/1.0 client would be taken for the answer."""
    with shop.connect() as connection:
        connection.send(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        connection.send(b"ok")
        answer = connection.read_response("POST")
        assert (answer.status, answer.body, answer.interim) == (200, b"ok", [])


def test_unread_body_does_not_become_a_request(shop: Shop, nonce: str) -> None:
    """/info reads no body; what looks like a request in it must not run."""
    inner = request("GET", f"/nonce?nonce={nonce}-smuggled")
    with shop.connect() as connection:
        for method in ("GET", "HEAD", "POST"):
            connection.send(request(method, "/info", body=inner))
            answer = connection.read_response(method)
            assert answer.status == 200
            if answer.head.closes:
                connection.expect_closed()
                break
        else:
            assert connection.request("GET", "/items/1").json()["id"] == 1
    assert shop.runs(nonce) == {}


def test_large_unread_body(shop: Shop) -> None:
    """5 MiB that the application never reads: drained or cut, but no later answer goes wrong."""
    with shop.connect() as connection:
        sender = threading.Thread(
            target=connection.send_lenient, args=(request("POST", "/info", body=b"x" * 5 * 1024 * 1024),)
        )
        sender.start()
        answer = connection.read_response("POST")
        assert answer.status == 200
        if answer.head.closes:
            connection.expect_closed()
        sender.join()
        if not answer.head.closes:
            # Closing after all is allowed, although it was too late to say so (RFC 9112 §9.6); a wrong answer is not.
            connection.send_lenient(request("GET", "/items/1"))
            rest = connection.reader.buffer or connection.sock.recv(1, socket.MSG_PEEK)
            assert not rest or connection.read_response().json()["id"] == 1


@pytest.mark.pyspeed
def test_every_kind_of_bind(shop: Shop) -> None:
    """IPv4, IPv6 and a unix socket at the same time, and what the application is told of each."""
    ipv4, ipv6, unix = shop.server.addresses
    assert fetch(ipv4, "GET", "/info").json()["remote_addr"] == "127.0.0.1"
    assert fetch(ipv6, "GET", "/info").json()["remote_addr"] == "::1"
    answer = fetch(unix, "GET", "/info")
    assert answer.status == 200
    assert answer.json()["remote_addr"] in (None, "", "0.0.0.0")  # the last is Tornado's word for it
    assert answer.json()["host"] == "localhost"
    body = b"y" * 300_000
    assert fetch(unix, "POST", "/echo", body=body).body == body


@pytest.mark.pyspeed
def test_date_and_one_server_name(shop: Shop) -> None:
    """RFC 9110 §6.6.1: an origin server with a clock sends Date, once."""
    for target in ("/items/1", "/no/such/page", "/error"):
        answer = shop.get(target)
        assert answer.get("date").endswith(" GMT")
        assert len(answer.head.get_all("server")) <= 1


@pytest.mark.pyspeed
def test_half_close_counts_as_leaving(shop: Shop) -> None:
    """Row 33 of the bad-input table: as with an nginx proxy; whole answer or none, then closed."""
    with shop.connect() as connection:
        connection.send(request("GET", "/slow?ms=50"))
        connection.half_close()
        rest = connection.read_until_closed()
        assert rest == b"" or rest.endswith((b"}", b"}\n"))
    with Connection(shop.address) as connection:
        assert connection.request("GET", "/items/1").status == 200
