"""The figures behind the plots; drawing needs matplotlib, which only the environment of the peers has."""

from __future__ import annotations

from runner.cell import OURS, Cell
from runner.measure import Round
from runner.plot_data import bar, latencies, memory, over_connections, throughput
from runner.results import Results

FEW = Cell("c1", "hello_wsgi:app", "wsgi", 1, ("a", "b"))
MANY = Cell("c64", "hello_wsgi:app", "wsgi", 64, ("a", "b"))
OTHER = Cell("headers", "hello_wsgi:app", "wsgi", 64, ("a",), script="browser.lua")
ONE = Cell("m1", "flask_app:app", "wsgi", 64, ("a",), workers=1, wins="pss")
FOUR = Cell("m4", "flask_app:app", "wsgi", 64, ("a",), workers=4, wins="pss")


def measured(cell: Cell, server: str, number: int, rps: float, pss: int = 1024, errors: int = 0) -> Round:
    return Round(
        *(cell.name, server, number),
        rps=rps,
        requests=1,
        pss_kb=pss,
        p50_us=1000,
        p99_us=2000 if server == "a" else 3000,
        p999_us=5000,
        errors={"read": errors},
    )


RESULTS = Results(
    {},
    {},
    [
        *(measured(MANY, OURS, n, rps) for n, rps in ((1, 50.0), (2, 70.0), (3, 60.0))),
        measured(MANY, "a", 1, 40.0),
        measured(MANY, "b", 1, 80.0),
        measured(MANY, "b", 2, 999.0, errors=1),
        measured(FEW, OURS, 1, 5.0),
        measured(FEW, "a", 1, 6.0),
        Round(FEW.name, "b", 1, failure="no"),
        measured(ONE, OURS, 1, 1.0, pss=20 * 1024),
        measured(FOUR, OURS, 1, 1.0, pss=50 * 1024),
        measured(FOUR, "a", 1, 1.0, pss=80 * 1024),
    ],
)


def test_bars_hold_least_median_and_most_of_faultless_rounds() -> None:
    ours = bar(RESULTS, "c64", OURS, lambda r: r.rps)
    assert ours is not None
    assert (ours.low, ours.middle, ours.high) == (50.0, 60.0, 70.0)
    assert bar(RESULTS, "c1", "b", lambda r: r.rps) is None


def test_ours_is_first_the_others_from_fast_to_slow() -> None:
    data = throughput(RESULTS, [FEW, MANY, OTHER])
    assert {name: [each.server for each in bars] for name, bars in data.items()} == {
        "c1": [OURS, "a"],
        "c64": [OURS, "b", "a"],
    }


def test_lines_over_connections_need_two_points_and_plain_cells() -> None:
    lines = over_connections(RESULTS, [MANY, OTHER, FEW, ONE], "hello_wsgi:app")
    assert [(line.server, line.x, line.y) for line in lines] == [
        (OURS, [1, 64], [5.0, 60.0]),
        ("a", [1, 64], [6.0, 40.0]),
    ]


def test_latencies_are_in_milliseconds_ours_first() -> None:
    assert latencies(RESULTS, MANY) == {OURS: (1.0, 3.0, 5.0), "a": (1.0, 2.0, 5.0), "b": (1.0, 3.0, 5.0)}
    assert list(latencies(RESULTS, MANY)) == [OURS, "a", "b"]


def test_memory_is_in_megabytes_over_workers() -> None:
    lines = memory(RESULTS, [FOUR, ONE, MANY], "flask_app:app")
    assert [(line.server, line.x, line.y) for line in lines] == [(OURS, [1, 4], [20.0, 50.0]), ("a", [4], [80.0])]
