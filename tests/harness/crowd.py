"""Clients in numbers, and clients that misbehave while others are served."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET

from .client import PATIENCE, Address, Connection, Response, request
from .wire import Data, End, FramingError, Head, ResponseReader


class AsyncConnection:
    """The same strict reading as ``Connection``, hundreds at a time on one thread."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._in, self._out = reader, writer
        self._reader = ResponseReader()
        self.closes = False  # the last answer said that it is the connection's last

    @classmethod
    async def open(cls, address: Address) -> AsyncConnection:
        if address.is_unix:
            return cls(*await asyncio.open_unix_connection(address.host))
        return cls(*await asyncio.open_connection(address.host, address.port))

    async def request(
        self, method: str, target: str, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> Response:
        self._out.write(request(method, target, fields, body))
        await self._out.drain()
        return await asyncio.wait_for(self.read_response(method), PATIENCE)

    async def read_response(self, method: str = "GET") -> Response:
        self._reader.begin(method)
        interim: list[Head] = []
        body = bytearray()
        head: Head | None = None
        while True:
            event = self._reader.next_event()
            if event is None:
                if self._reader.eof:
                    raise FramingError("connection closed inside an answer")
                try:
                    self._reader.feed(await self._in.read(65536))
                except ConnectionResetError:
                    self._reader.feed(b"")
            elif isinstance(event, Head):
                if event.status < 200:
                    interim.append(event)
                else:
                    head = event
            elif isinstance(event, Data):
                body += event.data
            else:
                assert isinstance(event, End) and head is not None
                self.closes = head.closes
                return Response(head, bytes(body), interim, event.trailers)

    async def close(self) -> None:
        self._out.close()
        try:
            await self._out.wait_closed()
        except (ConnectionError, BrokenPipeError):
            pass

    def vanish(self) -> None:
        """Ends with a reset."""
        sock = self._out.get_extra_info("socket")
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self._out.transport.abort()


@dataclass
class Outcome:
    """What became of one nonce: the status, or 0 when the connection broke."""

    nonce: str
    status: int
    error: str = ""

    @property
    def was_cut(self) -> bool:
        """The connection ended inside the answer; ending before its head would be no answer at all."""
        return self.status == 0 and "closed" in self.error and "before a whole head" not in self.error


def assert_none_ran_twice(outcomes: Sequence[Outcome], runs: Mapping[str, int]) -> None:
    """After workers died: answered requests ran once, failed ones at most once.

    Failing means 502, or a cut where the answer was under way already.
    """
    for outcome in outcomes:
        ran = runs.get(outcome.nonce, 0)
        if outcome.status == 200:
            assert ran == 1, f"{outcome} ran {ran} times"
        else:
            assert outcome.status == 502 or outcome.was_cut, f"{outcome}"
            assert ran <= 1, f"{outcome} ran {ran} times"


async def ask_for_nonce(connection: AsyncConnection, nonce: str, turn: int) -> Outcome:
    """Sends the nonce by header, query or body in turn and checks what comes back."""
    if turn % 3 == 0:
        answer = await connection.request("GET", "/nonce?pad=100", [("X-Nonce", nonce)])
    elif turn % 3 == 1:
        answer = await connection.request("GET", f"/nonce?nonce={nonce}&pad=70000")
    else:
        body = b'{"nonce": "%s"}' % nonce.encode()
        answer = await connection.request("POST", "/nonce", [("Content-Type", "application/json")], body)
    if answer.status == 200:
        said = answer.json()
        if said["nonce"] != nonce:
            raise AssertionError(f"MIX-UP: asked with {nonce}, got the answer to {said['nonce']}")
        if said.get("runs", 1) != 1:  # the shops count, the zoo does not
            raise AssertionError(f"RUN TWICE: {nonce} ran {said['runs']} times")
    return Outcome(nonce, answer.status)


def crowd(address: Address, prefix: str, clients: int, requests: int) -> list[Outcome]:
    """clients connections at once, each sending requests one after the other.

    A client whose connection breaks notes the nonce with status 0 and goes on with a
    new connection. A wrong nonce in an answer raises.
    """

    async def one(number: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        connection: AsyncConnection | None = None
        for turn in range(requests):
            nonce = f"{prefix}-{number}-{turn}"
            try:
                if connection is None:
                    connection = await AsyncConnection.open(address)
                outcomes.append(await ask_for_nonce(connection, nonce, number + turn))
            except (FramingError, OSError) as error:
                outcomes.append(Outcome(nonce, 0, f"{type(error).__name__}: {error}"))
                if connection is not None:
                    await connection.close()
                connection = None
        if connection is not None:
            await connection.close()
        return outcomes

    async def everybody() -> list[Outcome]:
        lists = await asyncio.gather(*[one(number) for number in range(clients)])
        return [outcome for outcomes in lists for outcome in outcomes]

    return asyncio.run(everybody())


Nuisance = Callable[[Address, threading.Event], None]


def stops_reading(address: Address, stop: threading.Event) -> None:
    """Asks for a large answer and takes none of it."""
    with Connection(address, receive_buffer=4096) as connection:
        connection.send(request("GET", "/download?mib=50"))
        stop.wait()
        connection.vanish()


def reads_slowly(address: Address, stop: threading.Event) -> None:
    with Connection(address, receive_buffer=4096, receive_size=1024) as connection:
        connection.send(request("GET", "/download?mib=50"))
        for _ in connection.events():
            if stop.wait(0.01):
                connection.vanish()
                return


def vanishes_inside_request(address: Address, stop: threading.Event) -> None:
    """Resets inside the head, inside a sized body and inside a chunked body, over and over."""
    beginnings = (
        b"GET /nonce?nonce=cut HTTP/1.1\r\nHost: sh",
        b"POST /echo HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000,
        b"POST /echo HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + b"x" * 1000,
    )
    while not stop.is_set():
        for data in beginnings:
            with Connection(address) as connection:
                connection.send_lenient(data)
                connection.vanish()
        stop.wait(0.005)


def vanishes_inside_answer(address: Address, stop: threading.Event) -> None:
    while not stop.is_set():
        with Connection(address, receive_buffer=4096, receive_size=1024) as connection:
            connection.send(request("GET", "/download?mib=5"))
            for number, _ in enumerate(connection.events()):
                if number == 3:
                    break
            connection.vanish()
        with Connection(address) as connection:
            connection.send(request("GET", "/slow?ms=20"))
            connection.vanish()
        stop.wait(0.005)


def pipelines(address: Address, stop: threading.Event) -> None:
    """1,000 requests in one go, their answers read afterwards, in order."""
    while not stop.is_set():
        with Connection(address) as connection:
            everything = b"".join(request("GET", f"/info/{number}") for number in range(1000))
            sender = threading.Thread(target=connection.send_lenient, args=(everything,))
            sender.start()
            try:
                for number in range(1000):
                    answer = connection.read_response()
                    assert answer.json()["path"] == f"/info/{number}", "answers out of order"
                    if answer.head.closes or stop.is_set():
                        break
            finally:
                connection.shut_down()  # wakes the sender
                sender.join()


@contextmanager
def nuisances(address: Address, *kinds: Nuisance) -> Iterator[None]:
    """Each kind in a thread of its own until the block ends; what they raise, this raises."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(kind: Nuisance) -> None:
        try:
            kind(address, stop)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    if failures:
        raise failures[0]
