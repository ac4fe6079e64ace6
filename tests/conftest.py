"""Fixtures: servers under test, and a time limit for every test."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from harness import beside, zoo
from harness.client import Address, Connection, Response, fetch
from harness.memory import folder_in_memory, forget
from harness.server import PEER, REPOSITORY, Server, Spec
from harness.users import public_folder
from harness.waiting import time_limit
from harness.zoo import Zoo

HERE = Path(__file__).resolve().parent
ASGION = HERE / "asgion"
# "asgion": ASGI applications alone, with that between them and the server (make asgion).
JUDGE = os.environ.get("PYSPEED_TEST_JUDGE", "")

# Folder in examples/, target, interface.
SHOPS = {
    "flask": ("flask_shop", "wsgi:application", "wsgi"),
    "bottle": ("bottle_shop", "wsgi:application", "wsgi"),
    "pyramid": ("pyramid_shop", "wsgi:application", "wsgi"),
    "django-wsgi": ("django_shop", "mysite", "wsgi"),
    "bare-wsgi": ("bare_wsgi_shop", "wsgi:application", "wsgi"),
    "fastapi": ("fastapi_shop", "asgi:app", "asgi"),
    "starlette": ("starlette_shop", "asgi:app", "asgi"),
    "django-asgi": ("django_shop", "mysite", "asgi"),
    "bare-asgi": ("bare_asgi_shop", "asgi:app", "asgi"),
    "tornado": ("tornado_shop", "app:app", "tornado"),
}
if JUDGE:
    SHOPS = {name: shop for name, shop in SHOPS.items() if shop[2] == "asgi"}
EDGES = ("peer",) if PEER else ("netpoll", "conn")
EVERY_SHOP = [pytest.param((shop, edge), id=f"{shop}-{edge}") for shop in SHOPS for edge in EDGES]
# One shop of each interface, for what is decided before a framework comes into play.
ONE_OF_EACH = ("flask", "fastapi", "tornado")
# For tests that take long, one interface on each edge.
ONE_ON_EACH_EDGE = [("flask", EDGES[0]), ("fastapi", EDGES[-1])]
# Likewise, with more of it: a framework sees nothing of the edge, so that each is tried on one of
# them, and on the other one of each interface.
EVERY_SHOP_ONCE = [one for one in EVERY_SHOP if one.values[0][1] == EDGES[0] or one.values[0][0] in ONE_OF_EACH]
ONE_SHOP_OF_EACH = [one for one in EVERY_SHOP if one.values[0][0] in ONE_OF_EACH]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    beside.check(items)
    if PEER:
        mine = [item for item in items if item.get_closest_marker("pyspeed")]
        config.hook.pytest_deselected(items=mine)
        items[:] = [item for item in items if not item.get_closest_marker("pyspeed")]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return beside.scheduler(config, log)


def pytest_unconfigure() -> None:
    forget()


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
    """Stops every one at the same time, also when one of them does not end well; then says so."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        ends = [pool.submit(server.stop) for server in servers]
    for end in ends:
        end.result()


def shop_spec(name: str, edge: str, database: Path, **more: object) -> Spec:
    folder, target, interface = SHOPS[name]
    spec = Spec(
        target=target,
        interface=interface,
        directory=REPOSITORY / "examples" / folder,
        edge=edge,
        env={"SHOP_DB": str(folder_in_memory(database) / "shop.sqlite3")},
        settings={"log": {"access": "combined"}},
    )
    for key, value in more.items():
        setattr(spec, key, value)
    return judged(spec, database) if JUDGE else spec


def judged(spec: Spec, folder: Path) -> Spec:
    """The same with asgion as judge, whose verdict goes into a file in the folder."""
    # A Django project goes by its name, which is the server's business.
    target = spec.target if ":" in spec.target else f"{spec.target}.asgi:application"
    notes = {"JUDGED": target, "JUDGED_NOTES": str(folder / "violations"), "PYTHONPATH": str(ASGION)}
    return replace(spec, target="judged:app", env={**spec.env, **notes})


def assert_judged(folder: Path) -> None:
    """After the end of what was judged: there was something, and no error in it."""
    notes = (folder / "violations").read_text().splitlines()
    # The shops' /error raises before it sends anything, as it is to.
    errors = [line for line in notes if line.startswith("ERROR") and not re.match(r"ERROR HF-001 .*GET /error\)", line)]
    assert not errors, f"asgion found {len(errors)} errors: {errors[:20]}"
    assert sum(int(line.split()[1]) for line in notes if line.startswith("JUDGED")) > 0, "asgion judged nothing"


# The shared shops that run.
_RUNNING: pytest.StashKey[dict[tuple[str, str], Shop]] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Stops the shared shops where no test of theirs comes next: even idle ones cost something, all the time."""
    yield
    if nextitem and "_shops" in fixtures_of(item) and "_shops" not in fixtures_of(nextitem):
        running = item.session.stash[_RUNNING]
        servers = [one.server for one in running.values()]
        running.clear()
        stop_all(servers)


def fixtures_of(item: pytest.Item) -> Sequence[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else ()


@pytest.fixture(scope="session")
def _shops(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Shop]]:
    """Shops that tests share: started when first asked for, stopped when no test of theirs comes next."""
    running: dict[tuple[str, str], Shop] = {}
    request.session.stash[_RUNNING] = running
    folders: list[Path] = []

    def shop(name: str, edge: str) -> Shop:
        if (name, edge) not in running:
            folder = tmp_path_factory.mktemp(f"{name}-{edge}")
            folders.append(folder)
            binds = ("127.0.0.1:0",) if PEER else ("127.0.0.1:0", "[::1]:0", f"unix:{folder}/s")
            server = Server.start(shop_spec(name, edge, folder, binds=binds, workers=2), folder)
            running[name, edge] = Shop(name, edge, server)
        return running[name, edge]

    yield shop
    stop_all(one.server for one in running.values())
    for folder in folders if JUDGE else ():
        assert_judged(folder)


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
        others = spec.process.get("user") or spec.settings.get("server", {}).get("user")
        folder = folders.enter_context(public_folder()) if others else tmp_path_factory.mktemp("server")
        server = Server.start(spec, folder) if ready else Server(spec, folder)
        request.node.servers.append(server)
        return server

    with contextlib.ExitStack() as folders:
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
def public() -> Iterator[Path]:
    """A folder of the test's own that every user can enter."""
    with public_folder() as folder:
        yield folder


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
        folder: Path = more.pop("folder", tmp_path)  # type: ignore[assignment]
        return Zoo(start(zoo.spec(module, interface, folder, **more)), interface, folder)  # type: ignore[arg-type]

    return start_one


@pytest.fixture(scope="module")
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
