from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from runner import cells, servers
from runner.cells import OURS, Cell, select
from runner.goals import GOALS
from runner.processes import read_stat
from runner.servers import (
    COMMANDS,
    Place,
    Ports,
    StartError,
    command_line,
    environment,
    last_line,
    log_tail,
    probe,
    running,
)

BENCHMARKS = Path(__file__).resolve().parent.parent

# Takes the flags that pyspeed-gw is given, answers as the application NAME:ANSWER says.
FAKE = """#!{python}
import http.server, sys
answer = sys.argv[-1].partition(":")[2]
if answer == "crash":
    sys.exit("cannot import: no such application")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())
    def log_message(self, *args): pass
port = int(sys.argv[sys.argv.index("-b") + 1].partition(":")[2])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    binary = tmp_path / "fake-gw"
    binary.write_text(FAKE.format(python=sys.executable))
    binary.chmod(0o755)
    core = str(min(os.sched_getaffinity(0)))
    return Place(tmp_path / "venv", binary, tmp_path, BENCHMARKS / "wrk", tmp_path, core, core)


def cell(answer: str, expect: bytes | None) -> Cell:
    return Cell("cell", f"app:{answer}", "wsgi", 1, (), expect=expect)


def test_a_server_is_started_probed_and_ended(place: Place) -> None:
    with running(OURS, place, cell("hi", b"hi")) as server:
        pid = server.tree.process.pid
        assert probe(cell("hi", b"hi"), server.ports.http) == ""
        assert "not b'other'" in probe(cell("hi", b"other"), server.ports.http)
        with pytest.raises(OSError, match="refused"):
            probe(cell("hi", b"hi"), server.ports.admin)
    assert read_stat(pid) is None


def test_a_server_is_ended_when_the_run_is_interrupted(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt), running(OURS, place, cell("hi", b"hi")) as server:
        pid = server.tree.process.pid
        raise KeyboardInterrupt
    assert read_stat(pid) is None


def test_a_crash_at_start_is_told_with_its_last_words(place: Place) -> None:
    with (
        pytest.raises(StartError, match="exited with 1: cannot import: no such application"),
        running(OURS, place, cell("crash", b"")),
    ):
        raise AssertionError("it must not start")


def test_a_wrong_answer_is_no_start(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "START_SECONDS", 1.0)
    with (
        pytest.raises(StartError, match="answered with b'hi', not b'other'"),
        running(OURS, place, cell("hi", b"other")),
    ):
        raise AssertionError("it must not start")


def test_a_missing_binary_says_how_to_get_it(place: Place) -> None:
    place.binary.unlink()
    with pytest.raises(StartError, match="make build"), running(OURS, place, cell("hi", b"hi")):
        raise AssertionError("it must not start")


def test_the_last_line_that_says_something(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert log_tail(log) == []
    log.write_text("".join(f"line {n}\n" for n in range(40)) + "  last\n\n  \n")
    assert len(log_tail(log)) == 30
    assert last_line(log_tail(log)) == "last"
    assert last_line([]) == "it logged nothing"


def test_settings_from_outside_do_not_reach_a_server(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "PYTHONPATH", "PYSPEED_LOG_LEVEL", "GOGC"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HARMLESS", "y")
    env = environment(place)
    assert env["HARMLESS"] == "y"
    assert not {"GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "PYTHONPATH", "PYSPEED_LOG_LEVEL", "GOGC"} & env.keys()
    assert env["PATH"].startswith(env["VIRTUAL_ENV"])


@pytest.mark.parametrize("each", cells.CELLS, ids=lambda each: each.name)
def test_every_cell_is_whole(each: Cell, place: Place) -> None:
    assert (BENCHMARKS / "wrk" / each.script).is_file()
    assert (BENCHMARKS / "apps" / f"{each.app.partition(':')[0]}.py").is_file()
    assert each.name in GOALS
    for name in each.servers:
        assert name in COMMANDS
        command = command_line(name, place, each, Ports(1, 2))
        assert command[:3] == ["taskset", "-c", place.server_cores]
        assert command[-1] == each.app


def test_cells_are_selected_by_name() -> None:
    assert len({each.name for each in cells.CELLS}) == len(cells.CELLS)
    assert [each.name for each in select("upload, hello-wsgi", short=False)] == ["upload", "hello-wsgi"]
    assert select(None, short=False) == list(cells.CELLS)
    assert 0 < len(select(None, short=True)) < len(cells.CELLS)
    with pytest.raises(ValueError, match="'nope': there is none of that name; there are hello-wsgi"):
        select("hello-wsgi,nope", short=False)
