from __future__ import annotations

import sys
from pathlib import Path

from runner import environments
from runner.environments import ENVIRONMENTS, choose, missing, status, status_path, version_of

VERSIONS = {"old": (3, 9), "usual": (3, 11), "new": (3, 13), "gone": None}


def chosen(minimum: tuple[int, int], preferred: str, others: list[str]) -> str:
    return choose(minimum, preferred, lambda: others, VERSIONS.get)


def test_the_preferred_python_is_taken_if_it_is_new_enough() -> None:
    assert chosen((3, 10), "usual", ["new"]) == "usual"
    assert chosen((3, 12), "usual", ["gone", "new", "old"]) == "new"
    assert chosen((3, 12), "usual", ["old"]) == ""


def test_versions_are_asked_of_the_interpreter() -> None:
    assert version_of(sys.executable) == sys.version_info[:2]
    assert version_of("/no/such/python") is None


def test_what_is_missing_says_why(tmp_path: Path) -> None:
    assert "--setup" in missing(tmp_path, "peers", "granian")
    status_path(tmp_path, "peers").write_text('{"failed": {"bjoern": "no ev.h"}}')
    assert missing(tmp_path, "peers", "granian") == ""
    assert missing(tmp_path, "peers", "bjoern") == "bjoern is not installed: no ev.h"
    status_path(tmp_path, "newer").write_text('{"failed": {"": "there is no Python 3.12"}}')
    assert missing(tmp_path, "newer", "caddysnake") == "there is no Python 3.12"
    status_path(tmp_path, "newer").write_text("{")
    assert "" in status(tmp_path, "newer")


def test_the_reason_of_a_failed_build_is_the_compilers() -> None:
    output = "Collecting x\nx.h:4:10: fatal error: ev.h: No such file\nnote: not a problem with pip\nERROR: failed\n"
    assert environments._reason(output) == "x.h:4:10: fatal error: ev.h: No such file"
    assert environments._reason("a\nb\n") == "b"
    assert environments._reason("") == "pip said nothing"


def test_what_may_fail_is_pinned() -> None:
    for environment in ENVIRONMENTS.values():
        assert all("==" in requirement for requirement in environment.optional)
    lines = (environments.HERE / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in lines if line and not line.startswith("#"))
