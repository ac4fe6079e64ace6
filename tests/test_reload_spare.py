"""--reload: the next worker is begun before it is needed, and the application cannot tell."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import processes
from harness.client import fetch
from harness.server import Server, Spec
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed

# Stands for an installed library: it is not in the application's folder.
LIBRARY = """
import os
LIMIT = os.environ.get("LIBRARY_LIMIT", "none")
with open(os.environ["IMPORTS"], "a") as imports:
    imports.write("%d\\n" % os.getpid())
"""
APP = """
import json, os, sys
PREFACE
import library

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    facts = {"pid": os.getpid(), "limit": library.LIMIT, "file": library.__file__}
    return [json.dumps({**facts, "greeting": os.environ.get("GREETING")}).encode()]
"""


class Project:
    """An application with a library elsewhere, which notes the processes that import it."""

    def __init__(self, tmp_path: Path, start: Callable[..., Server]) -> None:
        self.folder = tmp_path / "project"
        self.libraries = tmp_path / "libraries"
        self.imports = tmp_path / "imports"
        for folder in (self.folder, self.libraries):
            folder.mkdir()
        self.env_file = self.folder / "shop.env"
        self.env_file.write_text("GREETING=hello\n")
        self.library(LIBRARY)
        self.write()
        self._start = start
        self._served: set[object] = set()
        self.server: Server

    def library(self, source: str) -> None:
        (self.libraries / "library.py").write_text(source)

    def write(self, preface: str = "pass", number: int = 0) -> None:
        (self.folder / "app.py").write_text(APP.replace("PREFACE", preface) + f"# {number}\n")

    def serve(self) -> dict[str, object]:
        env = {"PYTHONPATH": str(self.libraries), "IMPORTS": str(self.imports)}
        settings = {"reload": {"enabled": True}, "app": {"env_file": str(self.env_file)}}
        self.server = self._start(Spec("app:app", self.folder, workers=1, env=env, settings=settings))
        return self.facts()

    def facts(self) -> dict[str, object]:
        answer = fetch(self.server.address, "GET", "/")
        assert answer.status == 200, answer
        found: dict[str, object] = answer.json()
        self._served.add(found["pid"])
        return found

    def importers(self) -> list[int]:
        return [int(line) for line in self.imports.read_text().split()]

    def spare(self) -> int:
        """The process that waits, once it has imported the library."""

        def found() -> list[int]:
            return [pid for pid in self.importers() if pid not in self._served and processes.alive(pid)]

        return eventually(found, "a process waits")[-1]

    def reloaded(self, before: dict[str, object]) -> dict[str, object]:
        def changed() -> dict[str, object]:
            now = self.facts()
            return now if now["pid"] != before["pid"] else {}

        return eventually(changed, "another worker serves")


@pytest.fixture
def project(tmp_path: Path, start: Callable[..., Server]) -> Project:
    return Project(tmp_path, start)


def test_the_process_that_waits_is_the_next_worker(project: Project) -> None:
    facts = project.serve()
    for number in range(3):
        spare = project.spare()
        project.write(number=number + 1)
        facts = project.reloaded(facts)
        assert facts["pid"] == spare
    assert len(set(project.importers())) == len(project.importers())  # nobody imports it twice


def test_not_where_the_application_sets_variables_first(project: Project) -> None:
    """The library reads one as it is imported. Flask, in whose place another stands here, does not."""
    (project.libraries / "flask.py").write_text(LIBRARY)
    preface = "os.environ['LIBRARY_LIMIT'] = 'ten'; import flask"
    project.write(preface)
    facts = project.serve()
    for number in range(2):
        spare = project.spare()
        assert project.importers().count(spare) == 1  # of the other one
        project.write(preface, number + 1)
        facts = project.reloaded(facts)
        assert (facts["limit"], facts["pid"]) == ("ten", spare)
        assert project.importers().count(spare) == 2


def test_not_where_the_application_has_changed_the_path(project: Project) -> None:
    others = project.folder.parent / "others"
    others.mkdir()
    (others / "library.py").write_text(LIBRARY)
    preface = f"sys.path.insert(0, {str(others)!r})"
    project.write(preface)
    facts = project.serve()
    project.write(preface, 1)
    assert project.reloaded(facts)["file"] == str(others / "library.py")


def test_a_module_of_the_application_that_hides_it(project: Project) -> None:
    facts = project.serve()
    project.spare()
    (project.folder / "library.py").write_text("LIMIT = 'own'\n")
    facts = project.reloaded(facts)
    assert (facts["limit"], facts["file"]) == ("own", str(project.folder / "library.py"))
    (project.folder / "library.py").unlink()
    assert project.reloaded(facts)["limit"] == "none"


def test_a_module_that_cannot_be_imported_by_itself(project: Project) -> None:
    """What the process that found out has done is not seen by the application."""
    project.library(
        LIBRARY
        + "import json\nif not hasattr(json, 'set_by_the_application'):\n"
        + "    json.damaged = True\n    raise RuntimeError\n"
        + "if hasattr(json, 'damaged'):\n    LIMIT = 'damaged'\n"
    )
    preface = "json.set_by_the_application = True"
    project.write(preface)
    facts = project.serve()
    for number in range(2):
        eventually(lambda: len(project.importers()) > 1, "it was tried")
        project.write(preface, number + 1)
        facts = project.reloaded(facts)
        assert facts["limit"] == "none"


def test_another_environment(project: Project) -> None:
    facts = project.serve()
    spare = project.spare()
    project.env_file.write_text("GREETING=good day\n")
    facts = project.reloaded(facts)
    assert facts["greeting"] == "good day"
    assert facts["pid"] != spare
    eventually(lambda: not processes.alive(spare), "nobody waits with the old one")


def test_the_process_that_waits_dies(project: Project) -> None:
    facts = project.serve()
    spare = project.spare()
    os.kill(spare, signal.SIGKILL)
    eventually(lambda: not processes.alive(spare), "it is dead")
    project.write(number=1)
    assert project.reloaded(facts)["pid"] != spare


def test_the_process_that_waits_dies_as_it_starts(project: Project) -> None:
    """Because of what it did ahead: one that begins with the application serves."""
    project.library(
        LIBRARY + "import sys, threading\n"
        "if 'app' not in sys.modules:\n"
        "    import json\n"
        "    json.dumps = lambda *_: os._exit(9)\n"
    )
    project.write("json.dumps({})")
    facts = project.serve()
    spare = project.spare()
    project.write("json.dumps({})", 1)
    assert project.reloaded(facts)["pid"] != spare
