"""Fixtures: servers under test, and a time limit for every test."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import zoo
from harness.client import Address, Connection, Response, fetch
from harness.server import PEER, REPOSITORY, Server, Spec
from harness.waiting import time_limit
from harness.zoo import Zoo

HERE = Path(__file__).resolve().parent

SHOPS = {"flask": ("wsgi:application", "wsgi"), "fastapi": ("asgi:app", "asgi")}
EDGES = ("peer",) if PEER else ("netpoll", "conn")
# Both shops on both edges; and one of each where the other would tell nothing new.
EVERY_SHOP = [pytest.param((shop, edge), id=f"{shop}-{edge}") for shop in SHOPS for edge in EDGES]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if PEER:
        mine = [item for item in items if item.get_closest_marker("pyspeed")]
        config.hook.pytest_deselected(items=mine)
        items[:] = [item for item in items if not item.get_closest_marker("pyspeed")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    marker = item.get_closest_marker("limit")
    with time_limit(marker.args[0] if marker else 60):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the log of the servers that a failed test used to its report."""
    report = yield
    if report.failed:
        for server in getattr(item, "servers", ()):
            report.sections.append((f"log of {server.spec.target} on {server.spec.edge}", str(server.log)))
    return report


@dataclass
class Shop:
    """A running shop."""

    name: str
    edge: str
    server: Server

    @property
    def address(self) -> Address:
        return self.server.address

    def connect(self, *, receive_buffer: int = 0) -> Connection:
        return Connection(self.address, receive_buffer=receive_buffer)

    def get(self, target: str) -> Response:
        return fetch(self.address, "GET", target)

    def runs(self, prefix: str) -> dict[str, int]:
        """How often each nonce with that prefix ran."""
        answer = self.get(f"/nonces?prefix={prefix}")
        assert answer.status == 200, answer
        counted: dict[str, int] = answer.json()
        return counted


def stop_all(servers: Iterable[Server]) -> None:
    """Stops every one, also when one of them did not end well; then says so."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)


def shop_spec(name: str, edge: str, database: Path, **more: object) -> Spec:
    target, interface = SHOPS[name]
    spec = Spec(
        target=target,
        interface=interface,
        directory=REPOSITORY / "examples" / f"{name}_shop",
        edge=edge,
        env={"SHOP_DB": str(database / "shop.sqlite3")},
        settings={"log": {"access": "combined"}},
    )
    for key, value in more.items():
        setattr(spec, key, value)
    return spec


@pytest.fixture(scope="session")
def _shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Shop]]:
    """Shops that tests share: started when first asked for, stopped at the end."""
    running: dict[tuple[str, str], Shop] = {}

    def shop(name: str, edge: str) -> Shop:
        if (name, edge) not in running:
            folder = tmp_path_factory.mktemp(f"{name}-{edge}")
            binds = ("127.0.0.1:0",) if PEER else ("127.0.0.1:0", "[::1]:0", f"unix:{folder}/s")
            server = Server.start(shop_spec(name, edge, folder, binds=binds), folder)
            running[name, edge] = Shop(name, edge, server)
        return running[name, edge]

    yield shop
    stop_all(one.server for one in running.values())


@pytest.fixture(params=EVERY_SHOP)
def shop(request: pytest.FixtureRequest, _shops: Callable[[str, str], Shop]) -> Iterator[Shop]:
    """Each shop on each edge, shared with other tests; it must be alive afterwards."""
    one = _shops(*request.param)
    request.node.servers = [one.server]
    yield one
    assert one.get("/info").status == 200


@pytest.fixture
def start(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Spec], Server]]:
    """Starts servers of the test's own; those it has not stopped are stopped, and must end well."""
    request.node.servers = []

    def start_one(spec: Spec, *, ready: bool = True) -> Server:
        folder = tmp_path_factory.mktemp("server")
        server = Server.start(spec, folder) if ready else Server(spec, folder)
        request.node.servers.append(server)
        return server

    yield start_one
    for server in request.node.servers:
        if server.process.poll() is None:
            server.stop()
        else:
            server.kill()


@pytest.fixture
def start_shop(start: Callable[[Spec], Server], tmp_path: Path) -> Callable[..., Shop]:
    """A shop of the test's own: start_shop(name, edge, settings={…})."""

    def start_one(name: str, edge: str, **more: object) -> Shop:
        return Shop(name, edge, start(shop_spec(name, edge, tmp_path, **more)))

    return start_one


@pytest.fixture
def nonce() -> str:
    """A prefix for nonces that nobody else uses."""
    return uuid.uuid4().hex


@pytest.fixture(params=["wsgi", "asgi"])
def interface(request: pytest.FixtureRequest) -> str:
    """Both kinds of worker."""
    kind: str = request.param
    return kind


@pytest.fixture
def start_zoo(start: Callable[[Spec], Server], tmp_path: Path) -> Callable[..., Zoo]:
    """A server of the test's own with an animal: start_zoo(module, interface, workers=…, settings={…})."""

    def start_one(module: str, interface: str, **more: object) -> Zoo:
        return Zoo(start(zoo.spec(module, interface, tmp_path, **more)), interface, tmp_path)  # type: ignore[arg-type]

    return start_one


@pytest.fixture(scope="session")
def shared_zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Zoo]]:
    """Servers with animals that do not hurt their worker, shared by tests: shared_zoo(module, interface)."""
    running: dict[tuple[str, str], Zoo] = {}

    def get(module: str, interface: str) -> Zoo:
        if (module, interface) not in running:
            folder = tmp_path_factory.mktemp(module)
            server = Server.start(zoo.spec(module, interface, folder), folder)
            running[module, interface] = Zoo(server, interface, folder)
        return running[module, interface]

    yield get
    stop_all(one.server for one in running.values())
