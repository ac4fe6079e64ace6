from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from runner import cells, servers
from runner.cell import OURS, RECORDS, Cell, select
from runner.environments import status_path
from runner.peers import PEERS, Peer
from runner.place import Place, environment
from runner.processes import read_stat
from runner.servers import StartError, last_line, log_tail, obstacle, probe, running, wrong_body

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
    (tmp_path / "venvs").mkdir()
    status_path(tmp_path / "venvs", "peers").write_text('{"failed": {"bjoern": "no compiler"}}')
    return Place(tmp_path / "venvs", binary, tmp_path, BENCHMARKS / "wrk", tmp_path, core, core)


def cell(answer: str, expect: bytes | None) -> Cell:
    return Cell("cell", f"app:{answer}", "wsgi", 1, (), expect=expect, directory=".")


def test_a_server_is_started_probed_and_ended(place: Place) -> None:
    with running(OURS, place, cell("hi", b"hi")) as server:
        pid = server.tree.processes[0].pid
        assert probe(cell("hi", b"hi"), server.ports.http) == ""
        assert "not b'other'" in probe(cell("hi", b"other"), server.ports.http)
        with pytest.raises(OSError, match="refused"):
            probe(cell("hi", b"hi"), server.ports.admin)
    assert read_stat(pid) is None


def test_a_server_is_ended_when_the_run_is_interrupted(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt), running(OURS, place, cell("hi", b"hi")) as server:
        pid = server.tree.processes[0].pid
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
    env = environment(place, cell("", None))
    assert env["HARMLESS"] == "y"
    assert not {"GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "PYTHONPATH", "PYSPEED_LOG_LEVEL", "GOGC"} & env.keys()
    assert env["PATH"].startswith(env["VIRTUAL_ENV"])


@pytest.fixture
def fake_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of two programs: one that waits, and in front of it the fake, which answers."""
    wait = [sys.executable, "-c", "import signal; signal.pause()"]

    def commands(place: Place, cell: Cell, ports: servers.Ports) -> list[list[str]]:
        back = [sys.executable, "-c", "raise SystemExit('no upstream')"] if cell.path == "/broken" else wait
        return [back, [str(place.binary), "-b", f"127.0.0.1:{ports.http}", cell.app]]

    monkeypatch.setitem(PEERS, "stack", Peer(commands))


@pytest.mark.usefixtures("fake_stack")
def test_several_programs_are_one_server(place: Place) -> None:
    with running("stack", place, cell("hi", b"hi")) as server:
        pids = {process.pid for process in server.tree.processes}
        assert len(pids) == 2
        assert pids <= {stat.pid for stat in server.tree.stats()}
    assert [read_stat(pid) for pid in pids] == [None, None]


@pytest.mark.usefixtures("fake_stack")
def test_a_program_behind_the_front_that_ends_is_a_failed_start(place: Place) -> None:
    broken = Cell("cell", "app:hi", "wsgi", 1, (), expect=b"never", directory=".", path="/broken")
    with pytest.raises(StartError, match="exited with 1: no upstream"), running("stack", place, broken):
        raise AssertionError("it must not start")


def test_what_is_missing_is_told_with_the_remedy(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = cell("", None)
    assert obstacle("granian-wsgi", place, asked) == ""
    assert obstacle("bjoern", place, asked) == "bjoern is not installed: no compiler"
    newer = Cell("cell", "app:x", "wsgi", 1, (), environment="newer")
    assert "run compare.py --setup" in obstacle("caddysnake-wsgi", place, newer)
    monkeypatch.setattr(servers.shutil, "which", lambda program, path: None)
    assert obstacle("nginx-uwsgi", place, asked) == "there is no nginx; Debian: apt install nginx-light"


def test_a_json_answer_is_compared_as_json() -> None:
    asked = Cell("cell", "app:x", "wsgi", 1, (), expect_json=RECORDS)
    text = json.dumps(RECORDS, separators=(",", ":"))
    assert wrong_body(asked, text.encode()) == ""
    assert wrong_body(asked, json.dumps(RECORDS, indent=1).encode()) == ""
    assert "not the JSON text" in wrong_body(asked, text.replace("49", "50").encode())
    assert "not the JSON text" in wrong_body(asked, b"<html>")


def test_cells_are_selected_by_name_and_glob() -> None:
    names = [each.name for each in cells.CELLS]
    assert len(set(names)) == len(names)
    assert [each.name for each in select(cells.CELLS, "upload, hello-wsgi")] == ["upload", "hello-wsgi"]
    assert [each.name for each in select(cells.CELLS, "bottle-*,bottle-json")] == ["bottle-hello", "bottle-json"]
    assert select(cells.CELLS, None) == list(cells.CELLS)
    assert 0 < len(select(cells.CELLS, None, short=True)) < len(cells.CELLS)
    with pytest.raises(ValueError, match="'nope': there is none of that name; there are hello-wsgi"):
        select(cells.CELLS, "hello-wsgi,nope")
