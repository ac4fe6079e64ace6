"""Constant load that checks every answer, beside whatever a test does to the server."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType

from .client import PATIENCE, Address
from .crowd import AsyncConnection, Outcome, ask_for_nonce
from .wire import FramingError

# So many seconds they ask, all at once.
_VOLLEY = 0.02


class Load:
    """Clients that ask for nonces, one after the other, until the block ends; ``outcomes`` has all of them.

    They begin together, and after each volley rest for ``rest`` times as long as it took: all of them at once are more
    of a trial than a trickle, and while they rest what the test does beside them gets on, such as workers that start.
    A wrong nonce in an answer, or a client that fails in another way, is raised at the end.
    Nothing that is done to workers may close a client's connection, so one that breaks is an outcome with status 0.
    """

    def __init__(self, address: Address, prefix: str, clients: int = 16, rest: float = 2) -> None:
        self.outcomes: list[Outcome] = []
        self._address = address
        self._prefix = prefix
        self._clients = clients
        self._rest = rest
        self._stop = threading.Event()
        self._asked = threading.Event()  # a request has ended
        self._failure: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._asked.wait(PATIENCE)  # what the block did may have been quicker than the first answer
        self._stop.set()
        self._thread.join(2 * PATIENCE)
        if self._failure and error is None:
            raise self._failure[0]
        assert not self._thread.is_alive() or error is not None, "the load does not end"

    @property
    def done(self) -> int:
        """How many requests have ended so far."""
        return len(self.outcomes)

    def failed(self, since: int = 0) -> list[Outcome]:
        return [outcome for outcome in self.outcomes[since:] if outcome.status != 200]

    def _run(self) -> None:
        try:
            asyncio.run(self._everybody())
        except BaseException as error:
            self._failure.append(error)
            self._asked.set()

    async def _everybody(self) -> None:
        go = asyncio.Event()
        await asyncio.gather(self._lead(go), *[self._client(number, go) for number in range(self._clients)])

    async def _lead(self, go: asyncio.Event) -> None:
        while not self._stop.is_set():
            go.set()
            began = time.monotonic()
            await asyncio.sleep(_VOLLEY)
            if self._rest:
                go.clear()
                await asyncio.sleep(self._rest * (time.monotonic() - began))
        go.set()

    async def _client(self, number: int, go: asyncio.Event) -> None:
        connection: AsyncConnection | None = None
        turn = 0
        while await go.wait() and not self._stop.is_set():
            nonce = f"{self._prefix}-{number}-{turn}"
            try:
                if connection is None:
                    connection = await AsyncConnection.open(self._address)
                outcome = await ask_for_nonce(connection, nonce, number + turn)
                if connection.closes:
                    await connection.close()
                    connection = None
            except (FramingError, OSError) as error:
                outcome = Outcome(nonce, 0, f"{type(error).__name__}: {error}")
                if connection is not None:
                    await connection.close()
                connection = None
            self.outcomes.append(outcome)
            self._asked.set()
            turn += 1
        if connection is not None:
            await connection.close()
