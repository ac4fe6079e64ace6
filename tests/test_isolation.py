"""Nothing of one request is ever visible in another.

The applications (``zoo/stash*.py``) hide each request's secret in every place they can reach, and search
what they are given for the secrets of others, under many clients at once.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable

import pytest
from conftest import EDGES
from harness import zoo
from harness.client import Address, Response
from harness.crowd import AsyncConnection
from harness.server import Server, Spec

CLIENTS, REQUESTS = 64, 8
SECRET = re.compile(rb"secret-[0-9a-f]+-[0-9]+-[0-9]+\.")
# The ways in which the bare applications answer; the frameworks make one of most.
KINDS = ("quick", "plain", "shared", "chunks", "write", "body", "file", "raise")


def check(answer: Response, kind: str, own: str) -> None:
    whole = b"\n".join([*(f"{name}: {value}".encode("latin-1") for name, value in answer.head.fields), answer.body])
    seen = {secret.decode() for secret in SECRET.findall(whole)}
    if kind == "raise":
        assert answer.status == 500
        assert not seen, f"the answer to a failed request tells {seen}"
        return
    assert answer.status == 200, answer
    assert seen <= {own}, f"{kind}: asked with {own}, got the answer {answer}"
    assert answer.json() == {"own": own, "found": []}
    assert answer.get("x-own") == own


async def client(address: Address, number: int, nonce: str) -> None:
    connection = await AsyncConnection.open(address)
    try:
        for turn, kind in enumerate(itertools.islice(itertools.cycle(KINDS), number, number + REQUESTS)):
            own = f"secret-{nonce}-{number}-{turn}."
            method, body = ("POST", own.encode() * 5_000) if kind == "body" else ("GET", b"")
            fields = [("X-Secret", own), ("Cookie", f"a={own}")]
            check(await connection.request(method, f"/{kind}?own={own}", fields, body), kind, own)
    finally:
        await connection.close()


async def crowd(address: Address, nonce: str) -> None:
    await asyncio.gather(*[client(address, number, nonce) for number in range(CLIENTS)])


# Each interface on both edges.
@pytest.mark.parametrize(
    ("app", "edge"),
    [
        ("stash_wsgi:wsgi", EDGES[0]),
        ("stash_wsgi:flask", EDGES[-1]),
        ("stash_asgi:asgi", EDGES[-1]),
        ("stash_asgi:starlette", EDGES[0]),
    ],
)
def test_no_request_sees_another(start: Callable[[Spec], Server], app: str, edge: str, nonce: str) -> None:
    interface = "wsgi" if "wsgi" in app else "asgi"
    server = start(Spec(target=app, interface=interface, directory=zoo.DIRECTORY, edge=edge, workers=2))
    asyncio.run(crowd(server.addresses[0], nonce))
