from __future__ import annotations

from pathlib import Path

import pytest
from runner import plan, run
from runner.cell import OURS, Cell
from runner.cells import SETS
from runner.measure import Load, Round
from runner.place import Place
from runner.plan import Clock, Unit, duration, fit, left, total, units
from runner.results import Results, load

HELLO = Cell("hello", "a:app", "wsgi", 1, ("x", "y"), series="a")
LIST = Cell("list", "a:app", "wsgi", 1, ("x",), path="/json", series="a")
OTHER = Cell("other", "b:app", "wsgi", 1, ("x",))
CELLS = [HELLO, LIST, OTHER]


def shape(every: list[Unit]) -> list[tuple[int, str, list[str]]]:
    return [(unit.number, unit.server, [cell.name for cell in unit.cells]) for unit in every]


def test_rounds_are_outside_servers_take_turns_and_a_series_is_one_start() -> None:
    first = [
        (1, OURS, ["hello", "list"]),
        (1, "x", ["hello", "list"]),
        (1, "y", ["hello"]),
        (1, OURS, ["other"]),
        (1, "x", ["other"]),
    ]
    assert shape(units(CELLS, 1)) == first
    assert shape(units(CELLS, 2)) == first + [(2, server, names) for _, server, names in first]
    assert OURS not in {unit.server for unit in units(CELLS, 1, only_peers=True)}


def test_what_was_measured_is_not_measured_again() -> None:
    every = units(CELLS, 1)
    done = {("hello", OURS, 1), ("list", OURS, 1), ("hello", "x", 1)}
    assert shape(left(every, done)) == shape(every)[1:]
    assert left(every, done | {(c.name, u.server, 1) for u in every for c in u.cells}) == []


def test_a_budget_takes_the_most_rounds_and_then_the_longest_load() -> None:
    for minutes in (0.5, 1, 3, 30):
        rounds, chosen = fit(CELLS, minutes, None)
        assert total(units(CELLS, rounds), chosen) <= minutes * 60
        assert plan.LEAST_SECONDS <= chosen.seconds <= plan.MOST_SECONDS
    assert fit(CELLS, 30, None) == (7, Load(plan.MOST_SECONDS, 1.0))
    assert fit(CELLS, 1.2, None)[0] < 7
    assert fit(CELLS, 30, 3)[0] == 3
    with pytest.raises(ValueError, match=r"cannot fit 3 cells into 0\.1 min: 1 rounds"):
        fit(CELLS, 0.1, None)


def test_a_cell_that_needs_longer_counts_longer() -> None:
    slow = Cell("slow", "a:app", "wsgi", 1, (), least_seconds=10.0)
    assert Unit(1, OURS, (slow,)).seconds(Load(1.0)) - Unit(1, OURS, (OTHER,)).seconds(Load(1.0)) == pytest.approx(9.0)


def test_the_time_left_follows_what_was_seen() -> None:
    every = units(CELLS, 7)
    clock = Clock(every, Load(1.0))
    assert clock.rest() == pytest.approx(total(every, Load(1.0)))
    for unit in every[:10]:
        clock.done(unit, 2 * unit.seconds(Load(1.0)))
    assert clock.rest() > total(every[10:], Load(1.0))
    for unit in every[10:]:
        clock.done(unit, unit.seconds(Load(1.0)))
    assert clock.rest() == pytest.approx(0.0, abs=1e-6)


def test_durations_are_for_people() -> None:
    assert [duration(s) for s in (45, 600, 7200)] == ["45 s", "10 min", "2.0 h"]


class Measured:
    """Takes the place of rounds_of: remembers what was asked for, and may be interrupted."""

    def __init__(self, interrupt_at: int = -1, broken: str = "") -> None:
        self.asked: list[tuple[int, str, list[str]]] = []
        self.interrupt_at, self.broken = interrupt_at, broken

    def __call__(self, place: Place, cells: list[Cell], name: str, number: int, load: Load) -> list[Round]:
        if len(self.asked) == self.interrupt_at:
            raise KeyboardInterrupt
        self.asked.append((number, name, [cell.name for cell in cells]))
        failure = "broken" if name == self.broken else ""
        return [Round(cell.name, name, number, failure=failure, requests=1) for cell in cells]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(run, "CELLS", CELLS)
    return Place(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, "0", "0")


def new(rounds: int) -> Results:
    return Results({}, {}, [], plan=run.plan_of(None, False, False, rounds, Load(1.0)))


def test_an_interrupted_run_goes_on_where_it_was(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.json"
    first = Measured(interrupt_at=7)
    monkeypatch.setattr(run, "rounds_of", first)
    run.run(place, new(2), path)
    results = load(path)
    assert results.interrupted
    second = Measured()
    monkeypatch.setattr(run, "rounds_of", second)
    run.run(place, results, path)
    assert first.asked + second.asked == shape(units(CELLS, 2))
    whole = load(path)
    assert not whole.interrupted
    assert len(whole.rounds) == 2 * (3 + 2 + 2)


def test_a_server_that_failed_twice_is_not_started_again(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Measured(broken="y")
    monkeypatch.setattr(run, "rounds_of", measured)
    results = new(4)
    run.run(place, results, tmp_path / "r.json")
    assert [number for number, server, _ in measured.asked if server == "y"] == [1, 2]
    assert [r.failure for r in results.of("hello", "y")] == ["broken"] * 4
    run.without_failures(results)
    assert results.of("hello", "y") == []


def test_results_without_a_plan_cannot_be_resumed(place: Place) -> None:
    with pytest.raises(ValueError, match="the results have no plan"):
        run.units_of({})


def test_a_set_stands_for_its_cells() -> None:
    names = [cell.name for cell in run.cells_of("@frameworks,upload", short=False)]
    assert names == [*SETS["@frameworks"], "upload"]


def test_the_short_form_has_few_cells_and_two_peers_each() -> None:
    short = run.cells_of(None, short=True)
    assert all(0 < len(cell.peers) <= 2 for cell in short)
    assert total(units(short, 3), Load(1.0, 0.25)) < 180


def test_progress_tells_figures_errors_and_the_time_left() -> None:
    good = Round("c", "s", 1, rps=1234.5, errors={"read": 2}, max_us=9, notes=["noted"])
    text = run.progress(good, 7, 90)
    for part in ("round 1/7", "1,234 req/s", "ERRORS: 2 read", "(noted)", "[90 s left]"):
        assert part in text
    assert "FAILED: why" in run.progress(Round("c", "s", 1, failure="why"), 7)
