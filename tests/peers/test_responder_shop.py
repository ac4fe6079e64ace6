"""The example shops behind nginx, lighttpd and Apache, run by our FastCGI responder: the core of tests/test_shop.py."""

from __future__ import annotations

import hashlib
import random

import pytest
from fronts import Front
from harness.client import Connection, chunked, fetch, request
from harness.wire import Data, End, Head

KIB = 1024
MIB = 1024 * KIB
SIZES = [0, 1, 4095, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB]


def pattern(size: int) -> bytes:
    """Bytes of every value, the same on every run."""
    return random.Random(size).randbytes(size)


def test_html_page(shop: Front) -> None:
    answer = shop.get("/")
    assert answer.status == 200
    assert answer.get("content-type").lower() == "text/html; charset=utf-8"
    assert "Größe wählbar ✓" in answer.body.decode()


def test_create_then_follow_location(shop: Front, nonce: str) -> None:
    with shop.connect() as connection:
        fields = [("Content-Type", "application/json")]
        created = connection.request("POST", "/items", fields, b'{"name": "%s", "price": 3}' % nonce.encode())
        assert created.status == 201
        assert connection.request("GET", created.get("location")).json()["name"] == nonce


def test_custom_404(shop: Front) -> None:
    answer = shop.get("/no/such/page")
    assert (answer.status, answer.json()) == (404, {"error": "nothing is sold here", "path": "/no/such/page"})


def test_500_leaves_everything_alive(shop: Front) -> None:
    for _ in range(3):
        answer = shop.get("/error")
        assert answer.status == 500
        assert b"till is broken" not in answer.body
    assert shop.get("/items/1").status == 200


def test_redirect(shop: Front) -> None:
    answer = shop.get("/old-items")
    assert answer.status == 302
    # Apache makes it absolute.
    assert answer.get("location").removeprefix(f"http://{shop.address.authority}") == "/items"


def test_cookies(shop: Front) -> None:
    answer = shop.get("/cookies/set?basket=42&theme=dark&empty=")
    cookies = [value.split(";")[0] for value in answer.head.get_all("set-cookie")]
    assert sorted(value.replace('""', "") for value in cookies) == ["basket=42", "empty=", "theme=dark"]
    back = fetch(shop.address, "GET", "/cookies", [("Cookie", "basket=42; theme=dark")])
    assert back.json() == {"basket": "42", "theme": "dark"}


def test_no_content(shop: Front) -> None:
    with shop.connect() as connection:
        assert connection.request("GET", "/empty").status == 204
        assert connection.request("GET", "/items/1").status == 200


@pytest.mark.parametrize("size", [1, 2048, 16 * KIB, 60 * KIB])
def test_large_header_is_delivered(shop: Front, size: int) -> None:
    if shop.kind == "apache" and size > 8 * KIB:
        # Apache reads a responder's lines into 8 KiB, which no directive changes: a longer one is its own 500.
        assert shop.get(f"/large-header?bytes={size}").status == 500
        return
    assert shop.get(f"/large-header?bytes={size}").get("x-large") == "h" * size


def test_application_sees_the_request_as_it_was(shop: Front) -> None:
    fields = [("X-One", "1"), ("X-Latin", "caf\xe9"), ("User-Agent", "test/1"), ("Proxy", "http://evil.test")]
    answer = fetch(shop.address, "PATCH", "/info/a%20b/%C3%A9?q=%20x&q=2", fields).json()
    assert answer["method"] == "PATCH"
    assert answer["path"] == "/info/a b/é"
    assert answer["query"] == "q=%20x&q=2"
    assert answer["remote_addr"] == "127.0.0.1"
    assert answer["scheme"] == "http"
    assert answer["host"] == shop.address.authority
    headers = [tuple(header) for header in answer["headers"]]
    assert ("x-one", "1") in headers
    assert ("x-latin", "caf\xe9") in headers
    assert not [header for header in headers if header[0] == "proxy"]


@pytest.mark.parametrize("target", ["/", "/items", "/download?mib=1", "/download?mib=1&length=1"])
def test_head_is_get_without_body(shop: Front, target: str) -> None:
    with shop.connect() as connection:
        head = connection.request("HEAD", target)
        assert (head.status, head.body) == (200, b"")
        assert connection.request("GET", target).body


@pytest.mark.parametrize("size", SIZES)
def test_echo_is_byte_exact(shop: Front, size: int) -> None:
    body = pattern(size)
    with shop.connect() as connection:
        for _ in range(2):
            fields = [("Content-Type", "application/x-test")]
            if not body:
                fields.append(("Content-Length", "0"))  # lighttpd wants one with every POST
            answer = connection.request("POST", "/echo", fields, body)
            assert answer.status == 200
            assert answer.body == body


@pytest.mark.parametrize("size", SIZES)
def test_chunked_echo_is_byte_exact(shop: Front, size: int) -> None:
    numbers = random.Random(size)
    body, pieces, start = pattern(size), [], 0
    while start < size:
        step = numbers.choice((1, 255, 4093, 16_381, 65_537))
        pieces.append(body[start : start + step])
        start += step
    raw = request("POST", "/echo", [("Transfer-Encoding", "chunked")]) + chunked(pieces)
    with shop.connect() as connection:
        connection.send_pieces(raw, [numbers.randint(1, 30_000) for _ in range(20)])
        answer = connection.read_response()
        assert answer.status == 200
        assert answer.body == body


def test_request_byte_by_byte(shop: Front) -> None:
    raw = request("POST", "/echo", [("Content-Type", "text/plain")], b"one byte at a time")
    with shop.connect() as connection:
        connection.send_pieces(raw, [1] * len(raw))
        assert connection.read_response().body == b"one byte at a time"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_upload_50_mib(shop: Front, framing: str, nonce: str) -> None:
    block, blocks = pattern(MIB), 50
    expected = hashlib.sha256(block * blocks).hexdigest()
    with shop.connect() as connection:
        if framing == "length":
            connection.send(request("PUT", f"/uploads/{nonce}", [("Content-Length", str(blocks * MIB))]))
            for _ in range(blocks):
                connection.send(block)
        else:
            connection.send(request("PUT", f"/uploads/{nonce}", [("Transfer-Encoding", "chunked")]))
            for _ in range(blocks):
                connection.send(b"%x\r\n%b\r\n" % (MIB, block))
            connection.send(b"0\r\n\r\n")
        answer = connection.read_response()
        assert answer.status == 201
        assert answer.json() == {"name": nonce, "size": blocks * MIB, "sha256": expected}


@pytest.mark.parametrize("target", ["/download?mib=50", "/download?mib=50&length=1"])
def test_download_50_mib(shop: Front, target: str) -> None:
    digest, size = hashlib.sha256(), 0
    with shop.connect() as connection:
        connection.send(request("GET", target))
        for event in connection.events():
            if isinstance(event, Data):
                digest.update(event.data)
                size += len(event.data)
        assert size == 50 * MIB
        assert digest.digest() == hashlib.sha256(bytes(range(256)) * (50 * MIB // 256)).digest()


def test_events_arrive_as_they_happen(shop: Front, nonce: str) -> None:
    """The next event only happens after the one before was read, so a held-back answer never ends."""
    with shop.connect() as watcher, shop.connect() as till:
        watcher.send(request("GET", f"/orders/{nonce}/events"))
        events = watcher.events()
        for status in ("paid", "packed", "delivered"):
            fields = [("Content-Type", "application/json")]
            posted = till.request("POST", f"/orders/{nonce}/events", fields, b'{"status": "%s"}' % status.encode())
            assert posted.status == 201
            got = bytearray()
            while not got.endswith(b"\n\n"):
                event = next(events)
                assert isinstance(event, (Head, Data)), "the stream ended early"
                if isinstance(event, Data):
                    got += event.data
            assert got == b'data: {"status": "%s"}\n\n' % status.encode()
        assert list(events) == [End()], "nothing but the end was due"


def test_many_streams_at_once(shop: Front, nonce: str) -> None:
    watchers: list[Connection] = []
    try:
        for _ in range(10):
            watcher = shop.connect()
            watchers.append(watcher)
            watcher.send(request("GET", f"/orders/{nonce}/events"))
        fields = [("Content-Type", "application/json")]
        assert fetch(shop.address, "POST", f"/orders/{nonce}/events", fields, b'{"status": "delivered"}').status == 201
        for watcher in watchers:
            assert watcher.read_response().body == b'data: {"status": "delivered"}\n\n'
    finally:
        for watcher in watchers:
            watcher.close()
