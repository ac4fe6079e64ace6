"""Clients that come at a fixed rate, whether or not those before them were answered: what overload is."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass

from .client import Address
from .crowd import AsyncConnection
from .wire import FramingError


@dataclass
class Arrival:
    """One request: its status, 0 when the connection broke, the seconds that it took, and when that was over."""

    target: str
    status: int
    seconds: float
    at: float  # since the first was asked
    retry_after: str = ""
    error: str = ""


class Pool:
    """Connections that are kept; a new one when all are in use."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: deque[AsyncConnection] = deque()
        self._began = asyncio.get_running_loop().time()

    async def ask(self, target: str) -> Arrival:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            connection = self._idle.pop() if self._idle else await AsyncConnection.open(self._address)
            try:
                answer = await connection.request("GET", target)
            except BaseException:
                connection.vanish()
                raise
        except (FramingError, OSError, TimeoutError) as error:
            now = clock()
            return Arrival(target, 0, now - began, now - self._began, error=f"{type(error).__name__}: {error}")
        if connection.closes:
            await connection.close()
        else:
            self._idle.append(connection)
        now = clock()
        return Arrival(target, answer.status, now - began, now - self._began, answer.get("Retry-After"))

    async def close(self) -> None:
        for connection in self._idle:
            await connection.close()


def closed_loop(address: Address, target: str, first: int, clients: int, seconds: float) -> list[Arrival]:
    """Each client asks again as soon as it is answered. The targets end with a number, from first on."""

    async def run() -> list[Arrival]:
        pool = Pool(address)
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        numbers = itertools.count(first)
        arrivals: list[Arrival] = []

        async def client() -> None:
            while clock() < end:
                arrivals.append(await pool.ask(f"{target}{next(numbers)}"))

        await asyncio.gather(*[client() for _ in range(clients)])
        await pool.close()
        return arrivals

    return asyncio.run(run())


def open_loop(address: Address, target: str, first: int, rate: float, seconds: float) -> list[Arrival]:
    """rate requests per second, evenly; returns when all have been answered."""

    async def run() -> list[Arrival]:
        pool = Pool(address)
        clock = asyncio.get_running_loop().time
        start = clock()
        asked: list[asyncio.Task[Arrival]] = []
        for number in range(int(rate * seconds)):
            wait = start + number / rate - clock()
            if wait > 0:
                await asyncio.sleep(wait)
            asked.append(asyncio.create_task(pool.ask(f"{target}{first + number}")))
        arrivals = list(await asyncio.gather(*asked))
        await pool.close()
        return arrivals

    return asyncio.run(run())
