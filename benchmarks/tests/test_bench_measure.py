from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from runner import wrk
from runner.cell import Cell
from runner.measure import Load, Round, as_json, describe_errors, from_json, parse_busy, portable
from runner.place import Place
from runner.processes import TICK
from runner.wrk import MeasureError
from runner.wrk import parse as parse_wrk

OUTPUT = """\
Running 2s test @ http://127.0.0.1:39671/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.86ms  415.96us   9.94ms   88.63%
    Req/Sec    75.28k     7.16k   82.04k    85.00%
  149840 requests in 2.00s, 18.72MB read
  Non-2xx or 3xx responses: 7
Requests/sec:  74839.03
Transfer/sec:      9.35MB
WRK {"requests":149840,"duration_us":2002164,"bytes":19629040,"connect":1,"read":2,"write":3,"timeout":4,\
"status":7,"p50_us":790,"p90_us":1100,"p99_us":2310,"p999_us":5240,"max_us":9941}
"""


def test_wrk_output_is_read() -> None:
    wrk = parse_wrk(OUTPUT)
    assert wrk.requests == 149840
    assert round(wrk.rps) == 74839
    assert (wrk.p50_us, wrk.p90_us, wrk.p99_us, wrk.p999_us, wrk.max_us) == (790, 1100, 2310, 5240, 9941)
    assert wrk.errors == {"connect": 1, "read": 2, "write": 3, "timeout": 4, "status": 7}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("unable to connect to 127.0.0.1:1 Connection refused\n", "printed none: unable to connect"),
        ("", "printed none"),
        ("WRK {not json}\n", "cannot read the load's figures"),
        ('WRK {"requests":1}\n', "cannot read the load's figures"),
        (OUTPUT.replace('"max_us"', '"unknown"'), "cannot read the load's figures"),
    ],
)
def test_wrk_output_without_figures_is_an_error(output: str, message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        parse_wrk(output)


def test_no_answer_at_all_is_no_division_by_zero() -> None:
    assert parse_wrk(OUTPUT.replace('"duration_us":2002164', '"duration_us":0')).rps == 0


def test_errors_are_named() -> None:
    assert describe_errors({"connect": 0, "read": 3, "status": 12}) == "3 read, 12 non-2xx"
    assert describe_errors({"connect": 0}) == ""


def test_busy_leaves_idle_time_out() -> None:
    text = "cpu  100 20 30 9999 8888 4 5 6 7777 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
    assert parse_busy(text) == pytest.approx((100 + 20 + 30 + 4 + 5 + 6) * TICK)
    with pytest.raises(ValueError, match="no cpu line"):
        parse_busy("intr 1\n")


@pytest.mark.parametrize(
    ("result", "valid"),
    [
        (Round("c", "s", 1, requests=1, errors={"read": 0}), True),
        (Round("c", "s", 1, requests=1, errors={"read": 1}), False),
        (Round("c", "s", 1, requests=0), False),
        (Round("c", "s", 1, requests=1, failure="no"), False),
    ],
)
def test_only_faultless_rounds_are_valid(result: Round, valid: bool) -> None:
    assert result.valid is valid


def test_a_round_survives_json() -> None:
    before = Round("c", "s", 3, rps=1.5, errors={"read": 1}, notes=["n"], command=["a", "b"])
    assert from_json(as_json(before)) == before


def test_the_classes_of_mixed_load_are_read() -> None:
    short = 'CLASS {"name":"short","requests":9,"p50_us":1,"p90_us":2,"p99_us":3,"p999_us":4,"max_us":5}\n'
    wrk = parse_wrk(short + short.replace("short", "slow") + OUTPUT)
    assert list(wrk.classes) == ["short", "slow"]
    assert wrk.classes["short"]["p99_us"] == 3
    with pytest.raises(MeasureError, match="cannot read the load's figures"):
        parse_wrk("CLASS 5\n" + OUTPUT)


def test_a_cell_may_ask_for_a_longer_load() -> None:
    cell = Cell("c", "a:app", "wsgi", 1, (), least_seconds=4.0)
    assert (Load(0.5).of(cell), Load(5.0).of(cell)) == (4.0, 5.0)


def test_commands_are_shown_without_this_machines_directories() -> None:
    place = Place(Path("/v"), Path("/r/bin/gw"), Path("/r"), Path("/w"), Path("/t/x"), "1", "0")
    cell = Cell("c", "a:app", "wsgi", 1, ())
    ours = ["taskset", "-c", "1", "/r/bin/gw", "--log", "/t/x/access.log"]
    assert portable([ours], place, cell) == ["bin/gw", "--log", "TMP/access.log"]
    assert portable([["/v/peers/bin/granian", "--venv", "/v/peers", "--dir", "/r"]], place, cell) == [
        *("granian", "--venv", "VENV", "--dir", "."),
    ]
    stack = [["taskset", "-c", "1", "gunicorn"], ["taskset", "-c", "1", "nginx"]]
    assert portable(stack, place, cell) == ["gunicorn", "&", "nginx"]


def test_a_cell_may_have_patience(tmp_path: Path) -> None:
    """wrk takes an answer that does not come within two seconds for an error, unless it is told otherwise."""
    place = Place(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, "1", "0")
    plain = Cell("plain", "app:app", "wsgi", 1, ())
    assert "--timeout" not in wrk.command(place, plain, 80, 1.0)
    line = wrk.command(place, replace(plain, patience=60), 80, 1.0)
    assert line[line.index("--timeout") + 1] == "60s"
