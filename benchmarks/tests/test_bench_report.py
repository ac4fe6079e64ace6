from __future__ import annotations

from pathlib import Path

import pytest
from runner import goals, report
from runner.cells import OURS, Cell
from runner.measure import Round
from runner.report import Results, duel, server_row, spread

CELL = Cell("hello-wsgi", "app:app", "wsgi", 64, ("peer", "broken"))
GOAL = goals.Goal(cpu_us=10.0)


def good(server: str, number: int, rps: float, cpu_us: float = 9.0) -> Round:
    return Round(
        CELL.name,
        server,
        number,
        rps=rps,
        cpu_us=cpu_us,
        p50_us=100,
        p90_us=150,
        p99_us=200,
        p999_us=400,
        pss_kb=20480,
        requests=1000,
        errors={"read": 0, "status": 0},
        command=["taskset", "-c", "1", server, "app:app"],
    )


def bad(server: str, number: int) -> Round:
    return Round(CELL.name, server, number, failure=f"cannot start {server}: port | taken\nreally")


def faulty(server: str, number: int, rps: float) -> Round:
    result = good(server, number, rps)
    result.errors = {"read": 2, "status": 5}
    return result


def test_a_duel_pairs_rounds_by_number() -> None:
    ours = [good(OURS, 1, 300), good(OURS, 2, 100), good(OURS, 3, 200)]
    theirs = [good("peer", 3, 100), good("peer", 2, 200), good("peer", 1, 100)]
    fight = duel(ours, theirs)
    assert fight.rps_ratio == 2.0  # the median of 3, 0.5 and 2
    assert (fight.won, fight.comparable) == (2, 3)


@pytest.mark.parametrize(
    ("ours", "theirs", "won", "comparable"),
    [
        ([bad(OURS, 1)], [good("peer", 1, 1)], 0, 1),  # lost
        ([faulty(OURS, 1, 9)], [good("peer", 1, 1)], 0, 1),  # lost: fast, but with errors
        ([good(OURS, 1, 9)], [bad("peer", 1)], 0, 0),  # nobody's
        ([good(OURS, 1, 9)], [faulty("peer", 1, 1)], 0, 0),
        ([good(OURS, 1, 9)], [good("peer", 1, 9)], 0, 1),  # a draw is not won
        ([], [good("peer", 1, 1)], 0, 0),
    ],
)
def test_rounds_with_faults(ours: list[Round], theirs: list[Round], won: int, comparable: int) -> None:
    fight = duel(ours, theirs)
    assert (fight.won, fight.comparable) == (won, comparable)


def test_spread() -> None:
    assert spread([3, 1000, 20], 0) == "3 / **20** / 1,000"
    assert spread([1.25], 1) == "1.2 / **1.2** / 1.2"
    assert spread([0, 0], 1) == "-"


def test_a_server_that_never_ran_keeps_its_row() -> None:
    assert "| broken | **FAILED**: cannot start broken: port \\| taken really |" in server_row(
        "broken", [bad("broken", 1)]
    )


def test_a_server_that_ran_once_shows_both() -> None:
    row = server_row("peer", [good("peer", 1, 50), bad("peer", 2)])
    assert "50 / **50** / 50" in row
    assert "1 of 2 rounds FAILED" in row


def test_errors_are_summed() -> None:
    assert "| 4 read, 10 non-2xx |" in server_row("peer", [faulty("peer", 1, 1), faulty("peer", 2, 1)])


def results() -> Results:
    rounds = [good(OURS, 1, 200), good("peer", 1, 100), bad("broken", 1)]
    rounds[1].others = 0.5
    rounds[0].notes = ["there is no access log"]
    return Results({"CPU": "one"}, {"rounds": "1"}, rounds)


def test_the_report_leaves_nothing_out() -> None:
    text = report.markdown(results(), [CELL])
    for part in (
        "### hello-wsgi",
        "| CPU | one |",
        "| peer | 2.00 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 1 of 1 |",
        "| broken | - | - | - | - | - | - | not comparable |",
        "**FAILED**: cannot start broken",
        "Other work took up to 0.50 CPUs in 1 of 3 measurements",
        "pyspeed, round 1: there is no access log.",
        "- hello-wsgi, peer: `peer app:app`",
    ):
        assert part in text
    assert "interrupted" not in text


def test_every_table_row_has_the_columns_of_its_heading() -> None:
    width = 0
    for line in report.markdown(results(), [CELL]).splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        bars = line.replace("\\|", "").count("|")
        assert bars == (width or bars), line
        width = bars


def test_an_interrupted_run_says_so() -> None:
    run = results()
    run.interrupted = True
    assert "The run was interrupted" in report.markdown(run, [CELL])


def test_results_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    report.save(results(), path)
    assert report.load(path) == results()
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"cannot read results from r\.json"):
        report.load(path)


def test_goals_are_judged_and_none_is_hidden() -> None:
    verdicts = goals.judge(CELL, results(), GOAL)
    assert [v.outcome for v in verdicts] == [goals.MET, goals.NOT_MEASURED, goals.MET, goals.MET]
    assert verdicts[0].measured == "2.00 times, 1 of 1"
    text = goals.markdown(verdicts)
    assert "3 met, 0 NOT MET, 1 not measured." in text


@pytest.mark.parametrize(
    ("rounds", "outcomes"),
    [
        # slower, and over the CPU budget
        ([good(OURS, 1, 1, 10.1), good("peer", 1, 2)], [goals.NOT_MET, goals.NOT_MEASURED, goals.NOT_MET, goals.MET]),
        # ours did not start: every goal missed that could be compared
        ([bad(OURS, 1), good("peer", 1, 2)], [goals.NOT_MET, goals.NOT_MEASURED, goals.NOT_MET, goals.NOT_MET]),
        # fast, with errors
        ([faulty(OURS, 1, 9), good("peer", 1, 2)], [goals.NOT_MET, goals.NOT_MEASURED, goals.MET, goals.NOT_MET]),
        # --only-peers
        ([good("peer", 1, 2)], [goals.NOT_MEASURED] * 4),
    ],
)
def test_goals_missed(rounds: list[Round], outcomes: list[str]) -> None:
    assert [v.outcome for v in goals.judge(CELL, Results({}, {}, rounds), GOAL)] == outcomes


def test_further_goals() -> None:
    """A p99 worse than a peer's and a PSS over the share of granian's are told."""
    ratios = {"p99": 1.5, "PSS": 0.5}
    goal = goals.Goal(p99=1.0, pss=0.6)
    assert [v.outcome for v in goals.further("c", "granian-wsgi", goal, ratios)] == [goals.NOT_MET, goals.MET]
    assert [v.outcome for v in goals.further("c", "uvicorn", goal, ratios)] == [goals.NOT_MET]
    assert goals.further("c", "granian-wsgi", goals.Goal(), ratios) == []
    assert goals.further("c", "uvicorn", goal, {"p99": None, "PSS": None})[0].outcome == goals.NOT_MET
