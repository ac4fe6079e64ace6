"""[compress]: what a client gets decodes to what it would have got, and streams arrive as they are produced."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest
from conftest import EDGES, Shop, shop_spec
from harness.client import request
from harness.server import Server
from harness.wire import Data, Head

pytestmark = pytest.mark.pyspeed

ON = {"compress": {"enabled": True, "min_size": 200}, "log": {"access": "combined"}}
GZIP = [("Accept-Encoding", "gzip")]


@pytest.fixture(
    scope="module", params=[(name, edge) for name in ("flask", "fastapi", "tornado") for edge in EDGES], ids="-".join
)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One of each, shared by the tests of this module."""
    name, edge = request.param
    folder = tmp_path_factory.mktemp("compressed")
    server = Server.start(shop_spec(name, edge, folder, settings=ON), folder)
    yield Shop(name, edge, server)
    server.stop()


def test_what_is_encoded_decodes_to_the_same(shop: Shop) -> None:
    for target in ("/", "/items?limit=50"):
        with shop.connect() as connection:
            plain = connection.request("GET", target)
            encoded = connection.request("GET", target, GZIP)
            head = connection.request("HEAD", target, GZIP)
        assert plain.status == encoded.status == head.status == 200
        assert not plain.get("Content-Encoding") and plain.get("Vary") == encoded.get("Vary") == "Accept-Encoding"
        assert encoded.get("Content-Encoding") == head.get("Content-Encoding") == "gzip"
        assert zlib.decompress(encoded.body, 31) == plain.body
        assert len(encoded.body) < len(plain.body) and not head.body


def test_a_client_chooses(shop: Shop) -> None:
    def coding(accepts: str) -> str:
        with shop.connect() as connection:
            return connection.request("GET", "/items?limit=50", [("Accept-Encoding", accepts)]).get("Content-Encoding")

    assert coding("gzip, deflate, br, zstd") == "zstd"
    assert coding("gzip, deflate, br") == "br"
    assert coding("br;q=0.5, gzip;q=0.9") == "gzip"
    assert coding("gzip;q=0") == ""
    assert coding("identity") == ""


def test_what_is_no_text_is_left_alone(shop: Shop) -> None:
    with shop.connect() as connection:
        answer = connection.request("GET", "/download?mib=1", GZIP)
        assert answer.status == 200 and len(answer.body) == 1024 * 1024
        assert not answer.get("Content-Encoding") and not answer.get("Vary")


def test_events_arrive_as_they_happen(shop: Shop, nonce: str) -> None:
    """The next event only happens once the one before could be decoded."""
    decoder = zlib.decompressobj(31)
    with shop.connect() as watcher, shop.connect() as till:
        watcher.send(request("GET", f"/orders/{nonce}/events", GZIP))
        events = watcher.events()
        for status in ("paid", "packed", "shipped", "delivered"):
            fields = [("Content-Type", "application/json")]
            body = b'{"status": "%s"}' % status.encode()
            assert till.request("POST", f"/orders/{nonce}/events", fields, body).status == 201
            got = bytearray()
            while not got.endswith(b"\n\n"):
                event = next(events)
                assert isinstance(event, (Head, Data)), "the stream ended early"
                if isinstance(event, Head):
                    assert event.get("Content-Encoding") == "gzip"
                else:
                    got += decoder.decompress(event.data)
            assert got == b'data: {"status": "%s"}\n\n' % status.encode()
        for event in events:
            if isinstance(event, Data):
                assert decoder.decompress(event.data) == b""
        assert decoder.eof
