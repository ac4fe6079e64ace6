"""Every route of every shop, over both edges."""

from __future__ import annotations

import hashlib
import random
from urllib.parse import urljoin

import pytest
from conftest import EVERY_SHOP_ONCE, Shop
from harness.client import Connection, chunked, fetch, request
from harness.wire import Data, End, Head

KIB = 1024
MIB = 1024 * KIB


def pattern(size: int) -> bytes:
    """Bytes of every value, the same on every run."""
    return random.Random(size).randbytes(size)


def test_html_page(shop: Shop) -> None:
    answer = shop.get("/")
    assert answer.status == 200
    assert answer.get("content-type") == "text/html; charset=utf-8"
    assert "Größe wählbar ✓" in answer.body.decode()
    assert answer.get("date")


def test_list_is_paged(shop: Shop) -> None:
    first = shop.get("/items?page=1&per_page=7").json()
    second = shop.get("/items?page=2&per_page=7").json()
    assert [item["id"] for item in first["items"] + second["items"]] == list(range(1, 15))
    assert shop.get("/items?page=0").status in (400, 422)


def test_detail(shop: Shop) -> None:
    answer = shop.get("/items/5")
    assert answer.get("content-type") == "application/json"
    assert answer.json() == {"id": 5, "name": "pulley M5", "price": 135, "note": "Größe wählbar ✓"}


def test_create_then_follow_location(shop: Shop, nonce: str) -> None:
    with shop.connect() as connection:
        fields = [("Content-Type", "application/json")]
        created = connection.request("POST", "/items", fields, b'{"name": "%s", "price": 3}' % nonce.encode())
        assert created.status == 201
        assert connection.request("GET", created.get("location")).json()["name"] == nonce


def test_create_is_validated(shop: Shop) -> None:
    answer = fetch(shop.address, "POST", "/items", [("Content-Type", "application/json")], b'{"name": "", "price": 3}')
    assert answer.status == {"fastapi": 422}.get(shop.name, 400)


def test_custom_404(shop: Shop) -> None:
    answer = shop.get("/no/such/page")
    assert (answer.status, answer.json()) == (404, {"error": "nothing is sold here", "path": "/no/such/page"})


def test_500_leaves_the_connection_and_the_server_alive(shop: Shop) -> None:
    mark = shop.server.log.mark()
    with shop.connect() as connection:
        for _ in range(3):
            answer = connection.request("GET", "/error")
            assert answer.status == 500
            assert b"till is broken" not in answer.body
        assert connection.request("GET", "/items/1").status == 200
    shop.server.log.wait_for("the till is broken", since=mark)


def test_redirect(shop: Shop) -> None:
    answer = shop.get("/old-items")
    assert answer.status == 302
    # RFC 9110 §10.2.2: relative to the request's URI, or absolute, which Bottle and Pyramid send.
    here = f"http://{shop.address.authority}"
    assert urljoin(f"{here}/old-items", answer.get("location")) == f"{here}/items"


def test_cookies(shop: Shop) -> None:
    answer = shop.get("/cookies/set?basket=42&theme=dark&empty=")
    cookies = [value.split(";")[0] for value in answer.head.get_all("set-cookie")]
    # RFC 6265 §3: several Set-Cookie fields must not be folded into one.
    assert sorted(value.replace('""', "") for value in cookies) == ["basket=42", "empty=", "theme=dark"]
    back = fetch(shop.address, "GET", "/cookies", [("Cookie", "basket=42; theme=dark")])
    assert back.json() == {"basket": "42", "theme": "dark"}


def test_cookie_fields_are_joined(shop: Shop) -> None:
    """RFC 6265bis §5.8.3 lets a client send several; a WSGI application sees one."""
    back = fetch(shop.address, "GET", "/cookies", [("Cookie", "a=1"), ("Cookie", "b=2")])
    assert back.json() == {"a": "1", "b": "2"}


def test_no_content(shop: Shop) -> None:
    with shop.connect() as connection:
        assert connection.request("GET", "/empty").status == 204
        assert connection.request("GET", "/items/1").status == 200


@pytest.mark.parametrize("size", [1, 1024, 2048, 16 * KIB, 60 * KIB])
def test_large_header_is_delivered(shop: Shop, size: int) -> None:
    answer = shop.get(f"/large-header?bytes={size}")
    assert answer.get("x-large") == "h" * size


def test_application_sees_the_request_as_it_was(shop: Shop) -> None:
    fields = [("X-One", "1"), ("X-Latin", "caf\xe9"), ("User-Agent", "test/1")]
    answer = fetch(shop.address, "PATCH", "/info/a%20b/%C3%A9?q=%20x&q=2", fields).json()
    assert answer["method"] == "PATCH"
    assert answer["path"] == "/info/a b/é"
    assert answer["query"] == "q=%20x&q=2"
    assert answer["remote_addr"] == "127.0.0.1"
    assert answer["scheme"] == "http"
    assert answer["host"] == shop.address.authority
    assert [header for header in answer["headers"] if header[0].startswith("x-")] == [
        ["x-one", "1"],
        ["x-latin", "caf\xe9"],
    ]


@pytest.mark.parametrize("target", ["/", "/items", "/download?mib=1", "/download?mib=1&length=1"])
def test_head_is_get_without_body(shop: Shop, target: str) -> None:
    with shop.connect() as connection:
        head = connection.request("HEAD", target)
        assert (head.status, head.body) == (200, b"")
        get = connection.request("GET", target)
        assert get.body
        if head.get("content-length"):
            assert int(head.get("content-length")) == len(get.body)


# --- bodies ---------------------------------------------------------------------------------

SIZES = [0, 1, 4095, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB]


@pytest.mark.parametrize("size", SIZES)
def test_echo_is_byte_exact(shop: Shop, size: int) -> None:
    body = pattern(size)
    with shop.connect() as connection:
        for _ in range(2):
            answer = connection.request("POST", "/echo", [("Content-Type", "application/x-test")], body)
            assert answer.status == 200
            assert answer.body == body


@pytest.mark.parametrize("size", SIZES)
def test_chunked_echo_is_byte_exact(shop: Shop, size: int) -> None:
    """Chunks of odd sizes, in writes that end anywhere but at a chunk's end."""
    numbers = random.Random(size)
    body, pieces, start = pattern(size), [], 0
    while start < size:
        step = numbers.choice((1, 2, 3, 255, 4093, 16_381, 65_537))
        pieces.append(body[start : start + step])
        start += step
    raw = request("POST", "/echo", [("Transfer-Encoding", "chunked")]) + chunked(pieces)
    with shop.connect() as connection:
        connection.send_pieces(raw, [numbers.randint(1, 30_000) for _ in range(20)])
        answer = connection.read_response()
        assert answer.status == 200
        assert answer.body == body
        assert connection.request("GET", "/items/1").status == 200


def test_request_byte_by_byte(shop: Shop) -> None:
    raw = request("POST", "/echo", [("Content-Type", "text/plain")], b"one byte at a time")
    with shop.connect() as connection:
        connection.send_pieces(raw, [1] * len(raw))
        assert connection.read_response().body == b"one byte at a time"


def test_upload_form(shop: Shop) -> None:
    content = pattern(300_001)
    body = b"\r\n".join(
        [
            b"--frontier",
            b'Content-Disposition: form-data; name="file"; filename="photo.bin"',
            b"Content-Type: application/octet-stream",
            b"",
            content,
            b"--frontier--",
            b"",
        ]
    )
    fields = [("Content-Type", "multipart/form-data; boundary=frontier")]
    answer = fetch(shop.address, "POST", "/uploads", fields, body)
    assert answer.status == 201
    assert answer.json() == {"name": "photo.bin", "size": 300_001, "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("shop", EVERY_SHOP_ONCE, indirect=True)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_upload_50_mib(shop: Shop, framing: str, nonce: str) -> None:
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
        assert connection.request("GET", f"/uploads/{nonce}").json()["sha256"] == expected


@pytest.mark.parametrize("shop", EVERY_SHOP_ONCE, indirect=True)
@pytest.mark.parametrize("target", ["/download?mib=50", "/download?mib=50&length=1"])
def test_download_50_mib(shop: Shop, target: str) -> None:
    digest, size = hashlib.sha256(), 0
    with shop.connect() as connection:
        connection.send(request("GET", target))
        for event in connection.events():
            if isinstance(event, Data):
                digest.update(event.data)
                size += len(event.data)
        assert size == 50 * MIB
        assert digest.digest() == hashlib.sha256(bytes(range(256)) * (50 * MIB // 256)).digest()
        assert connection.request("GET", "/items/1").status == 200


# --- streams --------------------------------------------------------------------------------


def test_stream_arrives_whole(shop: Shop) -> None:
    answer = shop.get("/stream?chunks=4&interval_ms=5")
    assert answer.body == b"chunk 0\nchunk 1\nchunk 2\nchunk 3\n"


def test_events_arrive_as_they_happen(shop: Shop, nonce: str) -> None:
    """The next event only happens after the one before was read, so a held-back answer never ends."""
    with shop.connect() as watcher, shop.connect() as till:
        watcher.send(request("GET", f"/orders/{nonce}/events"))
        events = watcher.events()
        for status in ("paid", "packed", "shipped", "delivered"):
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


def test_many_streams_at_once(shop: Shop, nonce: str) -> None:
    """All are open before the first event happens, and a short request gets through."""
    watchers: list[Connection] = []
    try:
        for _ in range(20):
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
