from __future__ import annotations

import json
import marshal
import time
from pathlib import Path

import pytest
from components import inputs, timing
from components.compare import ComponentError, Line, markdown, ordered, read, unequal
from components.python_fastcgi import listed
from components.python_http import answered, parsed

GO = Line("parse", "get", "pyspeed-gw (Go)", 100.0, "aa")
C = Line("parse", "get", "httptools (C)", 50.0, "aa")
PYTHON = Line("parse", "get", "h11", 1500.0, "aa")
OTHER = Line("JSON", "small", "json.dumps", 7.0, "bb")


def test_lines_are_read() -> None:
    text = "\n".join(json.dumps(line.__dict__) for line in (GO, PYTHON))
    assert read(text + "\n") == [GO, PYTHON]
    for wrong in ("no JSON", '{"component": "x"}', "[]"):
        with pytest.raises(ComponentError, match="cannot read the figures"):
            read(wrong)


def test_different_results_are_found() -> None:
    assert unequal([GO, C, PYTHON, OTHER]) == []
    wrong = Line("parse", "get", "h11", 1500.0, "zz")
    assert unequal([C, wrong, GO]) == ["parse, get: h11 differs from ours"]


def test_the_table_is_sorted_and_divided_by_ours() -> None:
    text = markdown(ordered([GO, OTHER, PYTHON, C]), {"CPU": "one"})
    rows = [line for line in text.splitlines() if line.startswith("| parse")]
    assert rows == [
        "| parse | get | httptools (C) | 50 | 0.5 |",
        "| parse | get | pyspeed-gw (Go) | 100 | 1.0 |",
        "| parse | get | h11 | 1,500 | 15.0 |",
    ]
    assert "| JSON | small | json.dumps | 7 | - |" in text


def test_time_is_per_call() -> None:
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1

    before = time.perf_counter()
    ns = timing.nanoseconds(work, 0.01)
    took = time.perf_counter() - before
    assert 0 < ns * calls < 2 * took * 1e9


def test_inputs_are_what_they_say(tmp_path: Path) -> None:
    inputs.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("get.http", "browser.http", "request.fcgi", "environ.txt", "small.json", "items5000.json")
    }
    assert len(json.loads((tmp_path / "items5000.json").read_text())) == 5000
    head = (tmp_path / "browser.http").read_bytes()
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n") == len(inputs.BROWSER_FIELDS) + 2
    assert marshal.loads(marshal.dumps(inputs.environ(), 2)) == inputs.environ()


def test_long_values_have_long_lengths() -> None:
    assert inputs.pair(b"n", b"v") == b"\x01\x01nv"
    assert inputs.pair(b"n", b"v" * 300).startswith(b"\x01\x80\x00\x01\x2cn")


def test_canonical_forms() -> None:
    assert parsed("GET", "/", [("Host", "x")]) == b"GET\n/\nhost: x"
    assert listed({"b": "2", "a": "1"}) == b"a=1\nb=2\n"
    answer = b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 13\r\nContent-Type: text/plain\r\n\r\nHello, World!"
    assert answered(answer) == b"200\ncontent-type: text/plain\ncontent-length: 13\nHello, World!"
