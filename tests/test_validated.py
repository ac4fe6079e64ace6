"""``wsgiref.validate`` and ``webtest.lint`` judge the environ, the input stream and the calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import EDGES, HERE, ONE_OF_EACH, SHOPS
from harness.client import Connection, chunked, request
from harness.server import REPOSITORY, Server, Spec

WSGI_SHOPS = [
    pytest.param(shop, edge, id=f"{shop}-{edge}")
    for shop, (_, _, interface) in SHOPS.items()
    for edge in EDGES
    if interface == "wsgi" and (edge == EDGES[0] or shop in ONE_OF_EACH)
]


@pytest.mark.parametrize(("shop", "edge"), WSGI_SHOPS)
@pytest.mark.parametrize("checker", ["validated", "linted"])
def test_checkers_find_nothing(
    start: Callable[[Spec], Server], tmp_path: Path, checker: str, shop: str, edge: str
) -> None:
    folder, target, _ = SHOPS[shop]
    spec = Spec(
        target=f"validated:{checker}",
        interface="wsgi",
        directory=HERE,
        edge=edge,
        env={
            "PYTHONPATH": str(REPOSITORY / "examples" / folder),
            # A Django project goes by its name, which is the server's business.
            "VALIDATED": target if ":" in target else f"{target}.wsgi:application",
            "SHOP_DB": str(tmp_path / "shop.sqlite3"),
            "PYTHONWARNINGS": "always",
        },
    )
    server = start(spec)
    with Connection(server.address) as connection:
        for target in (
            "/",
            "/items?page=2",
            "/items/3",
            "/no/such",
            "/old-items",
            "/info/a%20b?x=%20",
            "/cookies/set?a=1",
            "/download?mib=1",
        ):
            assert connection.request("GET", target).status in (200, 302, 404), server.log
        assert connection.request("HEAD", "/items").status == 200, server.log
        json = [("Content-Type", "application/json")]
        assert connection.request("POST", "/items", json, b'{"name": "linted", "price": 1}').status == 201, server.log
        assert connection.request("POST", "/echo", [("Content-Type", "text/plain")], b"e" * 100_000).status == 200, (
            server.log
        )
        assert connection.request("PUT", "/uploads/x", [], b"u" * 300_000).json()["size"] == 300_000, server.log
        connection.send(
            request("PUT", "/uploads/y", [("Transfer-Encoding", "chunked")]) + chunked([b"c" * 70_000, b"d"])
        )
        assert connection.read_response().status == 201, server.log
        connection.send(request("GET", "/cookies", [("Cookie", "a=1"), ("X-Latin", "\xe9")]))
        assert connection.read_response().json() == {"a": "1"}, server.log
        assert connection.request("GET", "/stream?chunks=3&interval_ms=1").status == 200, server.log
    server.stop()
    log = server.log.since()
    for sign in (b"AssertionError", b"Traceback", b"WSGIWarning", b"LintWarning"):
        assert sign not in log, str(server.log)
