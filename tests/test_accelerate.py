"""`json.accelerate`: the same answers by orjson, of applications as they are."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import stop_all
from harness.client import Address, fetch
from harness.program import Program
from harness.server import Server, Spec, binary, clean_environment
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed

HERE = Path(__file__).resolve().parent / "accelerate"
APPS = HERE / "apps"
sys.path.insert(0, str(APPS))
from answers import NAMES  # noqa: E402

ON = {"json": {"accelerate": True}}
BODIES = (
    *(
        b'{"a": [1, 2.5, "\xc3\xa9", null], "a": {"b": 1e2}}',
        b'{"a": NaN}',
        b"[18446744073709551616, -9223372036854775809]",
    ),
    *(
        b'{"a": }',
        b"",
        b'"\\ud800"',
        b"\xef\xbb\xbf[1]",
        '{"é": 1}'.encode("utf-16"),
        b'"\xff"',
        b"[1" + b"0" * 30 + b"]",
    ),
)
# Target, interface, and the paths that answer by name.
KINDS = {
    "flask": ("on_flask:app", "wsgi", ("returned", "made")),
    "fastapi": ("on_fastapi:app", "asgi", ("returned", "made", "raw", "typed")),
    "django-wsgi": ("on_django:app", "wsgi", ("made", "rest")),
    "django-asgi": ("on_django:on_asgi", "asgi", ("made", "rest")),
}


def spec(target: str, interface: str = "auto", directory: Path = APPS, **more: Any) -> Spec:
    return Spec(target=target, interface=interface, directory=directory, workers=more.pop("workers", 1), **more)


@pytest.fixture(scope="module", params=KINDS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Server, Server]]:
    """The same application with and without; a test may name the kinds that it is for."""
    target, interface, _ = KINDS[request.param]
    started: list[Server] = []
    try:
        fast = Server.start(spec(target, interface, settings=ON), tmp_path_factory.mktemp("server"))
        started.append(fast)
        plain = Server.start(spec(target, interface), tmp_path_factory.mktemp("server"))
        started.append(plain)
        yield request.param, fast, plain
    finally:
        stop_all(started)


def get(server: Server, path: str) -> tuple[int, str, bytes]:
    answer = fetch(server.address, "GET", path)
    assert answer.get("Content-Length") in ("", str(len(answer.body)))
    return answer.status, answer.get("Content-Type"), answer.body


def test_equal_answers(pair: tuple[str, Server, Server]) -> None:
    """Errors too; and that it is orjson which has written can be seen."""
    kind, fast, plain = pair
    for path in KINDS[kind][2]:
        for name in NAMES:
            ours, theirs = get(fast, f"/{path}/{name}"), get(plain, f"/{path}/{name}")
            assert ours[:2] == theirs[:2], (path, name)
            if theirs[0] == 200:
                # repr, as NaN is not equal to itself; and it shows the order of keys.
                assert repr(json.loads(ours[2])) == repr(json.loads(theirs[2])), (path, name)
            else:
                assert ours[2] == theirs[2], (path, name)
        if path != "typed":  # where pydantic writes
            assert written_by_orjson(fast.address, f"/{path}/list")
            assert not written_by_orjson(plain.address, f"/{path}/list")


# Django's views read bodies by themselves.
@pytest.mark.parametrize("pair", ["flask", "fastapi"], indirect=True)
def test_equal_bodies(pair: tuple[str, Server, Server]) -> None:
    kind, fast, plain = pair
    for path in ("/read", "/request") if kind == "fastapi" else ("/read",):
        for body in BODIES:
            ours, theirs = (
                fetch(server.address, "POST", path, [("Content-Type", "application/json")], body)
                for server in (fast, plain)
            )
            assert (ours.status, ours.body) == (theirs.status, theirs.body), (path, body)


def written_by_orjson(address: Address, path: str = "/made/list") -> bool:
    answer = fetch(address, "GET", path)
    assert answer.status == 200
    assert (b"1e-7" in answer.body) != (b"1e-07" in answer.body)
    return b"1e-7" in answer.body


@pytest.mark.parametrize("kind", ["flask", "fastapi"])
def test_forked_workers(start: Callable[[Spec], Server], kind: str) -> None:
    """The zygote's functions are the workers'."""
    target, interface, _ = KINDS[kind]
    settings = {**ON, "workers": {"preload": True}}
    server = start(spec(target, interface, settings=settings, workers=2))
    assert written_by_orjson(server.address)
    told = server.log.wait_for(r"accelerates (\S+)")
    assert len(told) == 1 and told[0][1] == {"flask": b"Flask's", "fastapi": b"Starlette's"}[kind]


def test_greenlets(start: Callable[[Spec], Server]) -> None:
    server = start(spec("on_flask:app", settings={**ON, "workers": {"model": "gevent"}}))
    assert written_by_orjson(server.address)


@pytest.mark.limit(180)
@pytest.mark.parametrize("kind", ["flask", "fastapi"])
def test_new_code(start: Callable[[Spec], Server], tmp_path: Path, kind: str) -> None:
    """Under reload.enabled a worker has the frameworks imported before it knows what it is to serve."""
    folder = tmp_path / "app"
    shutil.copytree(APPS, folder)
    target, interface, _ = KINDS[kind]
    server = start(spec(target, interface, folder, settings={**ON, "reload": {"enabled": True}}))
    for turn in ("first", "second"):
        file = folder / f"on_{kind}.py"
        source = (APPS / file.name).read_text()
        with_more = source.replace('"/made/', f'"/{turn}/').replace("/made/", f"/{turn}/")
        assert with_more != source
        file.write_text(with_more)
        eventually(lambda turn=turn: fetch(server.address, "GET", f"/{turn}/list").status == 200, f"the {turn} change")
        assert written_by_orjson(server.address, f"/{turn}/list")


def test_a_change_of_the_option(start: Callable[[Spec], Server]) -> None:
    server = start(spec(*KINDS["flask"][:2]))
    assert not written_by_orjson(server.address)
    server.configure(**ON)
    server.signal(signal.SIGHUP)
    eventually(lambda: written_by_orjson(server.address), "the new workers")


def test_nothing_is_imported_for_it(start: Callable[[Spec], Server]) -> None:
    """What the application imports later is accelerated then."""
    server = start(spec("on_nothing:app", settings=ON))
    loaded = set(fetch(server.address, "GET", "/").body.decode().split())
    assert "pyspeed.accelerate" in loaded
    unwanted = ("flask", "fastapi", "starlette", "django", "rest_framework", "orjson", "pyspeed.accelerate.exact")
    assert loaded.isdisjoint(unwanted)
    server.log.wait_for("json.accelerate finds nothing to accelerate")
    assert fetch(server.address, "GET", "/late").body == b"[1e-7]"


def test_without_the_option_nothing_is_there(start: Callable[[Spec], Server]) -> None:
    loaded = fetch(start(spec("on_nothing:app")).address, "GET", "/").body.decode().split()
    assert "pyspeed.accelerate" not in loaded and "pyspeed.imports" not in loaded


def test_without_orjson(start: Callable[[Spec], Server]) -> None:
    """One warning for all workers, with the remedy, and the application as it is."""
    server = start(spec("without_orjson:app", settings=ON, workers=2))
    assert not written_by_orjson(server.address)
    server.log.wait_for(r"WARNING.*json.accelerate: orjson cannot be imported .*pip install orjson")
    server.log.wait_for("worker ready", count=2)
    server.stop()
    assert server.log.since().count(b"orjson cannot be imported") == 1


def test_another_json_dumps_stays(start: Callable[[Spec], Server]) -> None:
    """Here one that is there before the framework is."""
    server = start(spec("own_json:app", settings=ON))
    assert fetch(server.address, "GET", "/made/ordered").json() == {"own": {"b": 1, "a": {"x": [1, 2]}}}
    server.log.wait_for(r"WARNING.*the application has replaced json\.dumps")


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("on_flask:app", "json.accelerate: accelerates Flask's jsonify and get_json\n"),
        (
            "on_django:app",
            "accelerates Django's JsonResponse; once it is imported Django REST framework's JSONRenderer\n",
        ),
        ("on_nothing:app", "json.accelerate finds nothing to accelerate: the application imports neither Flask"),
        ("without_orjson:app", "pip install orjson"),
    ],
)
def test_check_says_what_it_finds(target: str, told: str) -> None:
    command = [str(binary()), "check", target, "--json-accelerate", "--chdir", str(APPS), "--python", sys.executable]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok: ") and told in done.stdout


@pytest.mark.parametrize("on", [True, False])
def test_run_app_leaves_no_trace(on: bool) -> None:
    """The application is there before, and the frameworks are what they were after, those imported meanwhile too."""
    program = Program("of_program.py", json.dumps({"json.accelerate": on}), directory=APPS)
    try:
        assert written_by_orjson(program.address()) == on
        assert fetch(program.address(), "GET", "/meanwhile").body == str(on).encode()
        program.signal(signal.SIGINT)
        assert program.log.wait_for(r"(not|all is) as it was[^\r]*")[0][0] == b"all is as it was"
    finally:
        program.stop()


@pytest.mark.limit(600)
def test_the_same_as_the_frameworks_themselves() -> None:
    """Values and bodies from one seed; `make accelerate` has others, and other versions of the frameworks."""
    done = subprocess.run(
        [sys.executable, str(HERE / "differential.py"), "--cases", "10", "--seed", "6"],
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
