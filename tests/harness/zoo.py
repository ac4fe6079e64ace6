"""A server with one of the animals of ``tests/zoo`` in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .client import Address, Connection, Response, fetch
from .server import REPOSITORY, Server, Spec
from .waiting import eventually

DIRECTORY = REPOSITORY / "tests" / "zoo"
# Each interface on one of the edges: the worker's side of the gateway is the same on both.
EDGE_OF = {"wsgi": "netpoll", "asgi": "conn"}


def spec(
    module: str,
    interface: str,
    folder: Path,
    *,
    workers: int = 1,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    env: Mapping[str, str] | None = None,
    **more: Any,
) -> Spec:
    """The animal's attribute is called as the interface. ``more`` is for the Spec."""
    target = module if ":" in module else f"{module}:{interface}"
    return Spec(
        target=target,
        interface=interface,
        directory=DIRECTORY,
        edge=EDGE_OF[interface],
        workers=workers,
        env={"ZOO_RUNS": str(folder / "runs"), "ZOO_GATE": str(folder / "gate"), **(env or {})},
        settings=settings or {},
        **more,
    )


class Zoo:
    """The running server, and the files through which the animal talks with the test."""

    def __init__(self, server: Server, interface: str, folder: Path) -> None:
        self.server = server
        self.interface = interface
        self._folder = folder

    @property
    def address(self) -> Address:
        return self.server.address

    def connect(self) -> Connection:
        return Connection(self.address)

    def get(self, target: str) -> Response:
        return fetch(self.address, "GET", target)

    def open_gate(self, name: str = "gate") -> None:
        (self._folder / f"gate.{name}").touch()

    def runs(self, prefix: str = "") -> Counter[str]:
        """How often each nonce ran."""
        path = self._folder / "runs"
        lines = path.read_text().split() if path.exists() else []
        return Counter(line for line in lines if line.startswith(prefix))

    def wait_for_run(self, name: str) -> None:
        eventually(lambda: self.runs()[name], f"{name} runs")

    def wait_for_workers(self, without: set[int] | None = None, count: int = 0) -> set[int]:
        """Waits until count workers (0: as many as configured), none of them in without, are there and one answers."""
        wanted = count or self.server.spec.workers

        def there() -> set[int]:
            pids = set(self.server.workers())
            return pids if len(pids) == wanted and not pids & (without or set()) else set()

        pids = eventually(there, f"{wanted} workers without {without}")
        eventually(lambda: self.get("/ok").status == 200, "answers again")
        return pids
