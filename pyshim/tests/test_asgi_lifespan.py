"""The application's start and end."""

from __future__ import annotations

import signal

import pytest
from asgi_gateway import LOOPS, Worker


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_start_state_and_stop(loop: str, mode: str) -> None:
    with Worker("asgi_lifespan_apps:complete", loop, lifespan=mode) as worker:
        assert (worker.started["event"], worker.started["lifespan"]) == ("ready", "on")
        for _ in range(2):
            # What one request writes into its state no other one sees.
            assert worker.get("/").body == b"[('pool', 'shared')]"
        assert worker.stop() == 0
        assert worker.log == b"lifespan: lifespan.startup\nlifespan: lifespan.shutdown\n"


def test_parts_of_the_start() -> None:
    with Worker("asgi_lifespan_apps:complete") as worker:
        assert worker.stages == ["import", "serve", "lifespan"]
    with Worker("asgi_lifespan_apps:complete", lifespan="off") as worker:
        assert worker.stages == ["import", "serve"]


def test_a_shutdown_in_time_says_nothing(loop: str) -> None:
    with Worker("asgi_lifespan_apps:complete", loop, lifespan_timeout=60000) as worker:
        assert worker.stop() == 0
        assert worker.log == b"lifespan: lifespan.startup\nlifespan: lifespan.shutdown\n"


def test_a_shutdown_that_waits_too_long(loop: str) -> None:
    """It is given up; what follows in order, follows."""
    with Worker("asgi_lifespan_apps:waits_at_the_end", loop, lifespan_timeout=50) as worker:
        assert worker.stop() == 0
        log = worker.log.decode()
        assert "shutdown did not end within 50 ms, and its stack is above; the worker ends anyway; raise app.lif" in log
        assert "in waits_at_the_end" in log
        assert log.endswith("lifespan: cancelled\n")


def test_a_shutdown_that_holds_the_loop_too_long(loop: str) -> None:
    with Worker("asgi_lifespan_apps:sticks_at_the_end", loop, lifespan_timeout=50) as worker:
        assert worker.stop() == 1
        log = worker.log.decode()
        assert "in sticks_at_the_end" in log
        assert log.endswith("the worker ends at once, as the application holds its event loop\n")


def test_a_shutdown_in_a_debugger_takes_its_time(loop: str) -> None:
    with Worker("asgi_lifespan_apps:debugged_at_the_end", loop, lifespan_timeout=50) as worker:
        assert worker.stop() == 0
        assert worker.log == b"lifespan: done\n"


def test_off(loop: str) -> None:
    with Worker("asgi_lifespan_apps:complete", loop, lifespan="off") as worker:
        assert worker.started["lifespan"] == "off"
        assert worker.get("/").body == b"[]"
        assert worker.stop() == 0
        assert worker.log == b""


@pytest.mark.parametrize("name", ["raises", "exits"])
def test_auto_serves_what_knows_no_lifespan(loop: str, name: str) -> None:
    with Worker("asgi_lifespan_apps:" + name, loop) as worker:
        assert worker.started["lifespan"] == "unsupported"
        assert worker.get("/").body == b"[]"
        assert worker.stop() == 0
        assert worker.log == b""


@pytest.mark.parametrize(
    ("name", "error"), [("raises", "LookupError: what is a lifespan?"), ("exits", "SystemExit: not today")]
)
def test_on_needs_a_lifespan(loop: str, name: str, error: str) -> None:
    with Worker("asgi_lifespan_apps:" + name, loop, lifespan="on") as worker:
        event = worker.started
        assert (event["event"], event["stage"], event["error"]) == ("failed", "lifespan", error)
        assert error in event["traceback"]
        assert "asgi_lifespan_apps.py" in event["traceback"]
        assert "pyspeed/lifespan.py" not in event["traceback"], "the shim's own frame is in the way"
        assert worker.exit_code() == 3


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_startup_failed_is_never_served(loop: str, mode: str) -> None:
    with Worker("asgi_lifespan_apps:startup_failed", loop, lifespan=mode) as worker:
        event = worker.started
        assert (event["event"], event["stage"]) == ("failed", "lifespan")
        assert event["error"] == "application startup failed"
        assert event["traceback"] == "Traceback: no database"
        assert worker.exit_code() == 3


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_application_that_returns_at_once_is_served(loop: str, mode: str) -> None:
    with Worker("asgi_lifespan_apps:returns", loop, lifespan=mode) as worker:
        assert worker.get("/").body == b"[]"
        assert worker.stop() == 0
        assert worker.log == b""


def test_shutdown_failed_is_logged(loop: str) -> None:
    with Worker("asgi_lifespan_apps:shutdown_failed", loop) as worker:
        assert worker.stop() == 0
        assert worker.log == b"pyspeed: application shutdown failed\ncould not flush\n"


def test_lifespan_that_dies_while_serving_is_logged(loop: str) -> None:
    with Worker("asgi_lifespan_apps:dies_while_serving", loop) as worker:
        worker.wait_log("LookupError: lifespan died")
        assert worker.get("/").status == 200
        assert worker.stop() == 0


def test_wrong_order_is_an_error(loop: str) -> None:
    with Worker("asgi_lifespan_apps:wrong_order", loop) as worker:
        assert worker.stop() == 0
        log = worker.log.decode()
        assert "cannot send 'lifespan.startup.complete' now" in log
        assert "cannot send 'lifespan.shutdown.nonsense'" in log
        assert "cannot send 'http.response.start' now" in log


def test_stop_while_the_start_hangs(loop: str) -> None:
    with Worker("asgi_lifespan_apps:hangs", loop, started=False) as worker:
        worker.wait_log("lifespan: hangs")
        assert worker.stop() == 0


def test_signal_stops_gracefully(loop: str) -> None:
    with Worker("asgi_lifespan_apps:complete", loop) as worker:
        worker.process.send_signal(signal.SIGINT)
        assert worker.get("/").status == 200
        worker.process.send_signal(signal.SIGTERM)
        assert worker.exit_code() == 0
        assert worker.log.endswith(b"lifespan: lifespan.shutdown\n")


def test_what_the_application_left_running_is_ended(loop: str) -> None:
    with Worker("asgi_lifespan_apps:leaves_work", loop) as worker:
        assert worker.stop() == 0
        for said in ("task ended", "generator ended", "thread ended"):
            assert f"lifespan: {said}\n" in worker.log.decode()
