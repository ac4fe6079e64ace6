"""The gateway's own memory (not the workers') under clients and applications that are slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from conftest import ONE_ON_EACH_EDGE, Shop
from harness import processes
from harness.client import Address, Connection, fetch, request
from harness.crowd import AsyncConnection
from harness.waiting import eventually
from harness.wire import Data
from harness.zoo import Zoo

pytestmark = pytest.mark.pyspeed

MIB = 1024 * 1024
LIMIT = 200 * MIB
CROWD = 100


@pytest.mark.parametrize(("name", "edge"), ONE_ON_EACH_EDGE)
def test_slow_readers_of_large_answers(start_shop: Callable[..., Shop], name: str, edge: str) -> None:
    """100 clients take a little of 50 MiB each and stop: 5 GiB that must not pile up."""
    shop = start_shop(name, edge, workers=2)
    readers = [Connection(shop.address, receive_buffer=4096, receive_size=4096) for _ in range(CROWD)]
    try:
        for reader in readers:
            reader.send(request("GET", "/download?mib=50"))
        for reader in readers:
            got = 0
            for event in reader.events():
                got += len(event.data) if isinstance(event, Data) else 0
                if got >= 64 * 1024:
                    break
        # A client that does read gets all of it meanwhile.
        assert len(fetch(shop.address, "GET", "/download?mib=5").body) == 5 * MIB
        peak = processes.peak_rss(shop.server.pid)
    finally:
        for reader in readers:
            reader.vanish()
    assert peak < LIMIT, f"{peak / MIB:.0f} MiB"
    eventually(lambda: shop.get("/items/1").status == 200, "serves on")


async def upload(address: Address, block: bytes, blocks: int) -> int:
    connection = await AsyncConnection.open(address)
    try:
        answer = await connection.request("POST", "/upload", [], block * blocks)
        return int(answer.body) if answer.status == 200 else -answer.status
    finally:
        await connection.close()


def test_fast_uploads_into_a_slow_application(start_zoo: Callable[..., Zoo], interface: str) -> None:
    """100 clients send 4 MiB each, and the application reads nothing until they are in: 400 MiB."""
    zoo = start_zoo("slow", interface, workers=2)
    block, blocks = b"u" * MIB, 4

    async def everybody() -> list[int]:
        uploads = [asyncio.ensure_future(upload(zoo.address, block, blocks)) for _ in range(CROWD)]
        # While the application waits, as much as the gateway takes goes in.
        await asyncio.wait(uploads, timeout=3)
        zoo.open_gate()
        return list(await asyncio.gather(*uploads))

    assert asyncio.run(everybody()) == [blocks * MIB] * CROWD
    peak = processes.peak_rss(zoo.server.pid)
    assert peak < LIMIT, f"{peak / MIB:.0f} MiB"
