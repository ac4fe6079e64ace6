"""The table of bad inputs, sent to the running gateway over real sockets."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bad_input import ACCEPTED, BODY_LIMIT, REFUSED, SMUGGLED, Accept, Refuse
from conftest import EDGES, ONE_OF_EACH, Shop, shop_spec, stop_all
from harness.client import Connection, chunked, request
from harness.server import Server
from harness.wire import FramingError

pytestmark = pytest.mark.pyspeed

SETTINGS = {
    "server.limits": {"body": BODY_LIMIT},
    "log": {"access": "combined"},
}


@pytest.fixture(scope="module")
def _strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Shop]]:
    """Shops with a small body limit, shared by the rows."""
    running: dict[tuple[str, str], Shop] = {}

    def shop(name: str, edge: str) -> Shop:
        if (name, edge) not in running:
            folder = tmp_path_factory.mktemp("strict")
            server = Server.start(shop_spec(name, edge, folder, settings=SETTINGS), folder)
            running[name, edge] = Shop(name, edge, server)
        return running[name, edge]

    yield shop
    stop_all(one.server for one in running.values())


@pytest.fixture(params=[pytest.param((shop, edge), id=f"{shop}-{edge}") for shop in ONE_OF_EACH for edge in EDGES])
def strict(request: pytest.FixtureRequest, _strict: Callable[[str, str], Shop]) -> Shop:
    one = _strict(*request.param)
    request.node.servers = [one.server]
    return one


def row_id(row: Refuse | Accept) -> str:
    return f"{row.row}-{row.what}"


@pytest.mark.parametrize("row", REFUSED, ids=row_id)
def test_refused(strict: Shop, row: Refuse, nonce: str) -> None:
    raw = (row.raw + SMUGGLED if row.followed else row.raw).replace(b"{nonce}", nonce.encode())
    with strict.connect() as connection:
        connection.send_lenient(raw)
        answer = connection.read_response()
        assert answer.status == row.status
        assert answer.head.closes, "it must say Connection: close (RFC 9112 §9.6)"
        connection.expect_closed()
    assert strict.runs(nonce) == {}, "it reached the application"


@pytest.mark.parametrize("row", [row for row in REFUSED if len(row.raw) < 2000], ids=row_id)
def test_refused_byte_by_byte(_strict: Callable[[str, str], Shop], row: Refuse, nonce: str) -> None:
    """Where reads end must make no difference."""
    strict = _strict("flask", "conn")
    raw = (row.raw + SMUGGLED if row.followed else row.raw).replace(b"{nonce}", nonce.encode())
    with strict.connect() as connection:
        all(connection.send_lenient(bytes([byte])) for byte in raw)
        answer = connection.read_response()
        assert answer.status == row.status
        connection.expect_closed()
    assert strict.runs(nonce) == {}


@pytest.mark.parametrize("row", ACCEPTED, ids=row_id)
def test_accepted(strict: Shop, row: Accept, nonce: str) -> None:
    with strict.connect() as connection:
        connection.send(row.raw)
        answer = connection.read_response(row.method)
        body: Any = answer.body
        if answer.get("content-type") == "application/json":
            body = json.loads(answer.body)
        assert row.check(answer.status, body), (answer.status, body)
        if answer.head.closes:
            connection.expect_closed()
        else:
            # What was read of the request was exactly the request.
            assert connection.request("GET", f"/nonce?nonce={nonce}").json()["nonce"] == nonce


def test_24_redirects_stay_on_this_host(strict: Shop) -> None:
    for target in ("//evil.test/items", "///evil.test", "/%5Cevil.test"):
        location = strict.get(target).get("location")
        assert not location or re.match(rf"(/(?![/\\])|http://{re.escape(strict.address.authority)}/)", location), (
            location
        )


def test_31_body_at_the_limit(strict: Shop) -> None:
    body = b"x" * BODY_LIMIT
    with strict.connect() as connection:
        assert connection.request("POST", "/echo", [], body).body == body
        connection.send(request("POST", "/echo", [("Transfer-Encoding", "chunked")]) + chunked([body]))
        assert connection.read_response().body == body


def test_34_unknown_expectation(strict: Shop) -> None:
    """417 or ignored (RFC 9110 §10.1.1); not a hang, and not 100."""
    with strict.connect() as connection:
        connection.send(request("POST", "/echo", [("Expect", "200-maybe")], b"body"))
        answer = connection.read_response()
        assert answer.status in (200, 417)
        assert answer.interim == []


@pytest.mark.parametrize("good", [0, 1, 20])
def test_35_bad_request_in_a_pipeline(strict: Shop, good: int, nonce: str) -> None:
    """What came before is answered, in order; what comes after is not looked at."""
    raw = b"".join(request("GET", f"/nonce?nonce={nonce}-{number}") for number in range(good))
    raw += b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + request("GET", f"/nonce?nonce={nonce}-after") * 3
    with strict.connect() as connection:
        connection.send(raw)
        for number in range(good):
            assert connection.read_response().json()["nonce"] == f"{nonce}-{number}"
        answer = connection.read_response()
        assert answer.status == 400 and answer.head.closes
        connection.expect_closed()
    assert strict.runs(nonce) == {f"{nonce}-{number}": 1 for number in range(good)}


@pytest.mark.parametrize("method", ["HEAD", "GET", "OPTIONS"])
def test_36_body_where_none_is_usual(strict: Shop, method: str) -> None:
    with strict.connect() as connection:
        connection.send(request(method, "/info", body=b"GET /error HTTP/1.1\r\n\r\n") + request("GET", "/items/1"))
        answer = connection.read_response(method)
        assert answer.status in (200, 405)
        if not answer.head.closes:
            assert connection.read_response().json()["id"] == 1


def test_65_log_lines_cannot_be_forged(strict: Shop, nonce: str) -> None:
    """Quotes, escapes and 8-bit bytes in what a client says stay inside their line."""
    mark = strict.server.log.mark()
    with strict.connect() as connection:
        fields = f'User-Agent: x" 200 1 "forged \xe9\x9b\x31m{nonce}\r\nReferer: "\\"{nonce}\r\n'.encode("latin-1")
        connection.send(
            b"GET /info/%0d%0a%1b[31m?" + nonce.encode() + b" HTTP/1.1\r\nHost: shop.test\r\n" + fields + b"\r\n"
        )
        connection.read_response()
    with strict.connect() as connection:
        connection.send(b"GET /\x1b[31m\x07" + nonce.encode() + b" HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        connection.read_response()
    strict.server.log.wait_for(f"forged.*{nonce}", since=mark)
    text = strict.server.log.since(mark)
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f-\xff]", text.replace(b"\r\n", b"\n")), text
    assert b'x" 200 1 "forged' not in text, "a quote that is not escaped ends the field"


# --- row 32: slow clients; and inputs that stop where more is due ----------------------------

INCOMPLETE = {
    "11-no end after the trailers": request("POST", "/nonce?nonce={nonce}", [("Transfer-Encoding", "chunked")])
    + b"5\r\nhello\r\n0\r\n",
    "32-nothing at all": b"",
    "32-half a request line": b"GET /nonce?nonce={nonce}",
    "32-half a head": b"GET /nonce?nonce={nonce} HTTP/1.1\r\nHost: shop",
    "32-half a body": request("POST", "/nonce?nonce={nonce}", [("Content-Length", "10")]) + b"hello",
    "32-half a chunk": request("POST", "/nonce?nonce={nonce}", [("Transfer-Encoding", "chunked")]) + b"a\r\nhello",
    "32-idle after an answer": request("GET", "/items/1"),
}


@pytest.fixture(scope="module")
def _hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Shop]]:
    """Shops that wait one second for anything."""
    running: dict[tuple[str, str], Shop] = {}

    def shop(name: str, edge: str) -> Shop:
        if (name, edge) not in running:
            folder = tmp_path_factory.mktemp("hasty")
            seconds = {"header": "1s", "body": "1s", "idle": "1s", "write": "1s"}
            server = Server.start(
                shop_spec(name, edge, folder, settings={"server.timeouts": seconds, "log": {"access": "combined"}}),
                folder,
            )
            running[name, edge] = Shop(name, edge, server)
        return running[name, edge]

    yield shop
    stop_all(one.server for one in running.values())


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("what", INCOMPLETE)
def test_silent_client_is_let_go(_hasty: Callable[[str, str], Shop], edge: str, what: str, nonce: str) -> None:
    """408 or just the end; nothing runs (but what was whole)."""
    shop = _hasty("flask", edge)
    with shop.connect() as connection:
        connection.send(INCOMPLETE[what].replace(b"{nonce}", nonce.encode()))
        if what.startswith("32-idle"):
            assert connection.read_response().status == 200
            connection.expect_closed()
        else:
            rest = connection.read_until_closed()
            assert rest == b"" or re.match(rb"HTTP/1\.1 (408|400) ", rest), rest
            assert rest.count(b"HTTP/1.1") <= 1
    assert shop.runs(nonce) == {}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("what", ["head", "fields"])
def test_32_slowloris(_hasty: Callable[[str, str], Shop], edge: str, what: str) -> None:
    """One byte now and then does not start the header time anew."""
    shop = _hasty("flask", edge)
    raw = b"GET /" + b"a" * 4000 if what == "head" else b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 700
    with Connection(shop.address) as connection:
        connection.sock.settimeout(0.1)
        for byte in raw:
            try:
                connection.send(bytes([byte]))
                if not connection.sock.recv(1):
                    return
            except socket.timeout:  # TimeoutError since Python 3.10
                continue
            except ConnectionError:
                return
            return  # 408 was sent
    raise FramingError("it was never let go")


@pytest.mark.parametrize("edge", EDGES)
def test_32_client_that_takes_nothing(_hasty: Callable[[str, str], Shop], edge: str) -> None:
    """The answer is cut, visibly: no clean end where bytes are missing."""
    shop = _hasty("flask", edge)
    mark = shop.server.log.mark()
    with Connection(shop.address, receive_buffer=4096) as connection:
        connection.send(request("GET", "/download?mib=50&length=1"))
        # Nothing is read, so only the access log can tell that the gateway gave up.
        shop.server.log.wait_for("/download", since=mark)
        with pytest.raises(FramingError):
            connection.read_response()
    assert shop.get("/items/1").status == 200
