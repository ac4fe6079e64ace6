"""Clocks that jump, by libfaketime (Debian: faketime)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import zoo
from harness.crowd import assert_none_ran_twice
from harness.load import Load
from harness.server import Server
from harness.vitals import assert_recovers, vitals
from harness.waiting import eventually


@pytest.fixture(params=["wsgi", "asgi"])
def animal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[zoo.Zoo]:
    """A server whose workers take the wall clock's offset from the file ``now``."""
    (tmp_path / "now").write_text("+0")
    spec = zoo.spec("plain", request.param, tmp_path, workers=2, env=fake_time(tmp_path / "now"))
    server = Server.start(spec, tmp_path)
    yield zoo.Zoo(server, request.param, tmp_path)
    server.stop()


def fake_time(stamp: Path) -> dict[str, str]:
    """Environment in which programs that use libc look into the file at every call."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert libraries, "libfaketime is not installed; Debian: apt install faketime"
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.mark.limit(120)
def test_the_wall_clock_jumps(animal: zoo.Zoo, tmp_path: Path) -> None:
    """Forth and back by days: no limit strikes, and no answer is late or lost.

    The workers' alone: a Go program asks the kernel without libc. The gateway measures with the monotonic clock.
    """
    with Load(animal.address, "settle") as load:
        eventually(lambda: load.done > 300, "some load")
    before = vitals(animal.server)
    with Load(animal.address, "jump") as load:
        for jump in ("+3d", "-400d", "+0"):
            (tmp_path / "now").write_text(jump)
            mark = load.done
            eventually(lambda mark=mark: load.done > mark + 300, "load goes on")  # type: ignore[misc]
    assert not load.failed()
    assert_none_ran_twice(load.outcomes, animal.runs("jump"))
    assert b"does not turn" not in animal.server.log.since()
    assert_recovers(animal.server, before)
