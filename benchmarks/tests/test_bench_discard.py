from __future__ import annotations

import http.server
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from runner import cells, discard, report, wrk
from runner.cell import OURS, Cell, select
from runner.goals import GOALS
from runner.measure import Round
from runner.place import Place
from runner.results import Results
from runner.wrk import MeasureError

BENCHMARKS = Path(__file__).resolve().parent.parent
BODY = bytes(300_000)
CELL = Cell("large", "app:app", "wsgi", 3, (), load="discard", path="/file", patience=60)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    work = tmp_path_factory.mktemp("work")
    core = str(min(os.sched_getaffinity(0)))
    return Place(work, work, BENCHMARKS.parent, BENCHMARKS / "wrk", work, core, core)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/file" else 404)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_program_is_built_run_ended_and_read_as_wrk_is(place: Place, port: int) -> None:
    assert discard.make(place) == ""
    built = place.discard.stat().st_mtime_ns
    assert discard.make(place) == ""
    assert place.discard.stat().st_mtime_ns == built
    figures = wrk.run(place, CELL, port, 1.0)
    assert figures.requests > 0
    assert not any(figures.errors.values())
    assert figures.bytes >= figures.requests * len(BODY)
    assert 0 < figures.p50_us <= figures.p99_us <= figures.max_us
    wrong = wrk.run(place, replace(CELL, path="/none"), port, 0.5)
    assert wrong.errors["status"] == wrong.requests > 0


def test_a_signal_ends_it_with_its_figures(place: Place, port: int) -> None:
    assert discard.make(place) == ""
    line = [str(place.discard), "-c", "2", "-d", "10h", "-timeout", "1m", f"http://127.0.0.1:{port}/file"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "READY\n"
            process.send_signal(signal.SIGINT)
            output, complaints = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, complaints
    assert not any(wrk.parse(output).errors.values())


def test_the_program_gets_what_the_cell_says() -> None:
    place = Place(Path("/v"), Path("/b"), Path("/r"), Path("/w"), Path("/t"), "1", "0")
    assert discard.command(place, CELL, 8080, 0.5) == [
        *("taskset", "-c", "0", "/t/discard", "-c", "3", "-d", "2s", "-timeout", "60s", "http://127.0.0.1:8080/file")
    ]
    assert "-timeout" not in discard.command(place, replace(CELL, patience=0), 8080, 1.0)


def test_without_go_it_says_so(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = replace(place, work=tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install Go" in discard.make(elsewhere)
    with pytest.raises(MeasureError, match="benchmarks/discard was not built"):
        wrk.run(elsewhere, CELL, 1, 1.0)
    fake = tmp_path / "go"
    fake.write_text("#!/bin/sh\necho first >&2\necho no such package >&2\nexit 1\n")
    fake.chmod(0o755)
    assert discard.make(elsewhere) == "no such package"


def test_cells_whose_bodies_are_thrown_away_are_beside_those_of_wrk() -> None:
    light = [cell for cell in cells.CELLS if cell.load == "discard"]
    assert {cell.name for cell in light} == {f"static-{size}-discarded" for size in ("64k", "1m", "10m")}
    for each in light:
        assert GOALS[each.name].ratio >= 1.0 and GOALS[each.name].won == 0.7
        if each.name != "static-1m-discarded":
            (heavy,) = select(cells.CELLS, each.name.removesuffix("-discarded"))
            assert heavy.load == "wrk"
            same = replace(each, name=heavy.name, load=heavy.load, what=heavy.what)
            assert same == heavy


def test_the_report_says_who_made_the_load_and_when_it_was_the_limit() -> None:
    heavy = Cell("file", "app:app", "wsgi", 64, ())
    light = replace(heavy, name="file-discarded", load="discard")
    assert "`get.lua`" in report.described(heavy)
    assert "`discard`" in report.described(light) and "get.lua" not in report.described(light)
    rounds = [Round(cell.name, OURS, 1, rps=9.0, requests=9, cores=0.5, load_cores=0.99) for cell in (heavy, light)]
    alone, both = Results({}, {}, rounds[:1]), Results({}, {}, rounds)
    text = f"core was full before the server's with {OURS}: it could have answered more"
    assert report.notes(heavy, alone)[1] == f"- wrk's {text}."
    assert report.notes(heavy, both)[1] == f"- wrk's {text}, see file-discarded."
    assert report.notes(light, both)[1] == f"- discard's {text}."
