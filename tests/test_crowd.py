"""Many clients at once: everyone gets the own answer, and every request runs once.

An answer that reaches the wrong client is the worst that this program could do.
"""

from __future__ import annotations

import pytest
from conftest import EDGES, EVERY_SHOP_ONCE, ONE_SHOP_OF_EACH, Shop
from harness import crowd
from harness.client import Connection, request

CLIENTS, REQUESTS = 200, 6


def assert_all_ran_once(shop: Shop, nonce: str, outcomes: list[crowd.Outcome]) -> None:
    broken = [outcome for outcome in outcomes if outcome.status != 200]
    assert not broken, f"{len(broken)} of {len(outcomes)} failed: {broken[:5]}"
    counted = shop.runs(nonce)
    assert set(counted) == {outcome.nonce for outcome in outcomes}
    twice = {name: runs for name, runs in counted.items() if runs != 1}
    assert not twice


@pytest.mark.parametrize("shop", EVERY_SHOP_ONCE, indirect=True)
def test_200_clients(shop: Shop, nonce: str) -> None:
    outcomes = crowd.crowd(shop.address, nonce, CLIENTS, REQUESTS)
    assert len(outcomes) == CLIENTS * REQUESTS
    assert_all_ran_once(shop, nonce, outcomes)


# All of them at once beside each interface on each edge: see below.
@pytest.mark.parametrize(
    "shop", [("flask", EDGES[0]), ("fastapi", EDGES[-1]), ("tornado", EDGES[0])], ids="-".join, indirect=True
)
@pytest.mark.parametrize(
    "nuisance",
    [
        crowd.reads_slowly,
        crowd.stops_reading,
        crowd.pipelines,
        crowd.vanishes_inside_request,
        crowd.vanishes_inside_answer,
    ],
    ids=lambda nuisance: nuisance.__name__,
)
def test_200_clients_beside(shop: Shop, nonce: str, nuisance: crowd.Nuisance) -> None:
    with crowd.nuisances(shop.address, nuisance):
        outcomes = crowd.crowd(shop.address, nonce, CLIENTS, 2)
    assert_all_ran_once(shop, nonce, outcomes)


@pytest.mark.parametrize("shop", ONE_SHOP_OF_EACH, indirect=True)
@pytest.mark.limit(120)
def test_200_clients_beside_all_of_them(shop: Shop, nonce: str) -> None:
    kinds = [crowd.reads_slowly, crowd.stops_reading] * 4
    kinds += [crowd.pipelines, crowd.vanishes_inside_request, crowd.vanishes_inside_answer]
    with crowd.nuisances(shop.address, *kinds):
        outcomes = crowd.crowd(shop.address, nonce, CLIENTS, REQUESTS)
    assert_all_ran_once(shop, nonce, outcomes)


@pytest.mark.parametrize("shop", ONE_SHOP_OF_EACH, indirect=True)
def test_pipelined_nonces(shop: Shop, nonce: str) -> None:
    """1,000 in one write: answered in order, each run once."""
    names = [f"{nonce}-{number}" for number in range(1000)]
    with shop.connect() as connection:
        # Their answers fit into the socket's buffers, so that nobody has to read while we write.
        connection.send(b"".join(request("GET", f"/nonce?nonce={name}") for name in names))
        answers = [connection.read_response().json()["nonce"] for _ in names]
    assert answers == names
    assert shop.runs(nonce) == dict.fromkeys(names, 1)


@pytest.mark.parametrize("shop", ONE_SHOP_OF_EACH, indirect=True)
def test_client_that_leaves_does_not_make_it_run_twice(shop: Shop, nonce: str) -> None:
    """Each of 50 clients sends a whole request and leaves at once: it runs once or not at all."""
    for number in range(50):
        with Connection(shop.address) as connection:
            connection.send(request("POST", f"/nonce?nonce={nonce}-{number}", body=b"x"))
            connection.vanish()
    with shop.connect() as connection:
        assert connection.request("GET", f"/nonce?nonce={nonce}-last").status == 200
    assert set(shop.runs(nonce).values()) == {1}
