from __future__ import annotations

from pathlib import Path

import pytest
from runner import goals, overview, report
from runner.cell import OURS, Cell
from runner.measure import Round
from runner.report import server_row, spread
from runner.results import Results, duel, load, save

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
        command=[server, "app:app"],
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
    assert fight.lead == 2.0  # the median of 3, 0.5 and 2
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
    save(results(), path)
    assert load(path) == results()
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"cannot read results from r\.json"):
        load(path)


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


SLOW = Cell("mixed", "app:app", "wsgi", 40, ("peer",), wins="p99")


def test_less_latency_wins_where_the_cell_is_about_it() -> None:
    ours, theirs = good(OURS, 1, 100), good("peer", 1, 300)
    ours.p99_us, theirs.p99_us = 1000, 4000
    fight = duel([ours], [theirs], SLOW.wins)
    assert (fight.lead, fight.won) == (4.0, 1)
    assert (duel([ours], [theirs]).lead, duel([ours], [theirs]).won) == (pytest.approx(1 / 3), 0)


def rounds_won(won: int, of: int) -> Results:
    rounds = []
    for number in range(1, of + 1):
        rounds += [good(OURS, number, 200 if number <= won else 99), good("peer", number, 100)]
    return Results({}, {}, rounds)


@pytest.mark.parametrize(("won", "lost"), [(7, False), (5, False), (4, True), (0, True)])
def test_fewer_than_five_of_seven_rounds_is_a_loss(won: int, lost: bool) -> None:
    assert bool(overview.losses(rounds_won(won, 7), [CELL])) is lost


def test_a_loss_has_its_figure_and_its_reason() -> None:
    (loss,) = overview.losses(rounds_won(2, 7), [CELL])
    assert (loss.peer, loss.won, loss.comparable) == ("peer", 2, 7)
    text = "\n".join(overview.losses_section(rounds_won(2, 7), [CELL]))
    assert "| hello-wsgi | peer | requests/s | 0.99 | 2 of 7 | not known yet |" in text
    assert "In no cell of this run." in "\n".join(overview.losses_section(rounds_won(7, 7), [CELL]))
    failed = Results({}, {}, [bad(OURS, 1), good("peer", 1, 1)])
    assert overview.losses(failed, [CELL])[0].reason.startswith("ours failed")


def test_a_won_cell_with_another_figure_worse_says_so() -> None:
    run = rounds_won(7, 7)
    for r in run.rounds:
        r.pss_kb = 30000 if r.server == OURS else 20000
    assert "| hello-wsgi | peer | PSS 1.50 |" in "\n".join(overview.losses_section(run, [CELL]))


def test_what_did_not_run_is_listed_once_per_reason() -> None:
    run = Results({}, {}, [bad("broken", 1), bad("broken", 2), good(OURS, 1, 1)])
    text = "\n".join(overview.failures_section(run))
    assert text.count("cannot start broken") == 1
    assert "hello-wsgi (2)" in text
    assert "Everything that was asked for ran." in "\n".join(overview.failures_section(rounds_won(1, 1)))


def test_the_first_of_each_round_is_named() -> None:
    text = report.markdown(rounds_won(1, 2), [CELL])
    assert "First in each round (requests/s): 1 pyspeed, 2 peer." in text
    assert "| hello-wsgi | 150 | 9.0 | 0.20 | peer | **1.50** | 1 of 2 | 1 of 2 |" in text


def test_images_are_linked() -> None:
    assert "![Hello](r/hello.png)" in report.markdown(results(), [CELL], [("Hello", "r/hello.png")])


def test_goals_of_latency() -> None:
    """In microseconds; with nothing measured it is not met, or not known."""
    goal = goals.Goal(p99_us=8000.0)

    def outcome(rounds: list[Round]) -> str:
        verdicts = goals.judge(SLOW, Results({}, {}, rounds), goal)
        return next(v.outcome for v in verdicts if v.goal == "p99 at most 8.0 ms")

    assert outcome([]) == goals.NOT_MEASURED
    for p99, expected in ((7999, goals.MET), (8000, goals.MET), (8001, goals.NOT_MET)):
        one = good(OURS, 1, 100)
        one.cell, one.p99_us = SLOW.name, p99
        assert outcome([one]) == expected
    one.failure = "it exited"
    assert outcome([one]) == goals.NOT_MET


def test_goals_of_five_times() -> None:
    cell = Cell("flask-run", "app:app", "wsgi", 64, ("flask-run",))
    for rps, outcome in ((499.0, goals.NOT_MET), (501.0, goals.MET)):
        rounds = [good(OURS, 1, rps), good("flask-run", 1, 100)]
        for r in rounds:
            r.cell = "flask-run"
        assert goals.judge(cell, Results({}, {}, rounds))[0].outcome == outcome


def test_a_goal_may_ask_more_of_some_peers() -> None:
    goal = goals.Goal(over=(("granian*", 1.25),))
    assert (goal.against("granian-asgi"), goal.against("fastpysgi")) == (1.25, 1.0)
