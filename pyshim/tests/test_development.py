"""Under --reload: no stale code, no stale templates."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, List

import pytest
from gateway import Worker

APP = "import part\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [part.text()]\n"
# With bytecode, as outside of tests.
WRITING = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": ""}


def serve(tmp_path: Path, **settings: Any) -> bytes:
    with Worker("shop:app", tmp_path, env=WRITING, reload=True, **settings) as worker:
        body = worker.get("/").body
        assert worker.stop() == 0
    return body


def write_part(tmp_path: Path, number: int) -> None:
    (tmp_path / "part.py").write_text("def text():\n    return b'%03d'\n" % number)


def cached(tmp_path: Path) -> List[str]:
    folder = tmp_path / "__pycache__"
    return sorted(name.partition(".")[0] for name in os.listdir(folder)) if folder.exists() else []


def test_edits_of_equal_size_within_a_second(tmp_path: Path) -> None:
    """Every one of them is the code that the next worker runs."""
    (tmp_path / "shop.py").write_text(APP)
    for number in range(20):
        write_part(tmp_path, number)
        assert serve(tmp_path) == b"%03d" % number


def test_bytecode_that_somebody_else_wrote_at_once(tmp_path: Path) -> None:
    """As a test run beside the server does."""
    (tmp_path / "shop.py").write_text(APP)
    for number in range(5):
        write_part(tmp_path, number)
        with Worker("shop:app", tmp_path, env=WRITING) as worker:  # not under --reload
            worker.get("/")
        assert "part" in cached(tmp_path)
        write_part(tmp_path, number + 1)
        assert serve(tmp_path) == b"%03d" % (number + 1)


def test_bytecode_of_files_that_are_left_alone(tmp_path: Path) -> None:
    """It is written and used: a large application must not be compiled at each reload."""
    (tmp_path / "shop.py").write_text(APP)
    write_part(tmp_path, 1)
    assert serve(tmp_path) == b"001"
    assert cached(tmp_path) == []
    before = time.time() - 60
    for name in ("shop.py", "part.py"):
        os.utime(tmp_path / name, (before, before))
    assert serve(tmp_path) == b"001"
    assert cached(tmp_path) == ["part", "shop"]
    # What is in there is what runs.
    pyc = next((tmp_path / "__pycache__").glob("part.*"))
    pyc.write_bytes(pyc.read_bytes().replace(b"001", b"0x1"))
    assert serve(tmp_path) == b"0x1"


ENGINE = """
class Environment:
    def __init__(self, auto_reload=False):
        self.auto_reload = auto_reload
"""


def test_engines_are_changed_as_they_are_imported(tmp_path: Path) -> None:
    (tmp_path / "jinja2").mkdir()
    (tmp_path / "jinja2" / "__init__.py").write_text("")
    (tmp_path / "jinja2" / "environment.py").write_text(ENGINE)
    (tmp_path / "shop.py").write_text(
        "def app(environ, start_response):\n"
        "    from jinja2 import environment\n"
        "    start_response('200 OK', [])\n"
        "    found = environment.Environment(auto_reload=False).auto_reload\n"
        "    loaders = environment.__loader__, environment.__spec__.loader\n"
        "    return [repr((found, [type(loader).__name__ for loader in loaders])).encode()]\n"
    )
    assert eval(serve(tmp_path)) == (True, ["SourceFileLoader", "SourceFileLoader"])


def test_an_engine_that_is_another_one(tmp_path: Path) -> None:
    """One of that name without what would be changed works as it is, and the log says so."""
    (tmp_path / "bottle.py").write_text("x = 7\n")
    (tmp_path / "shop.py").write_text(
        "import bottle\ndef app(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [b'%d' % bottle.x]\n"
    )
    with Worker("shop:app", tmp_path, reload=True) as worker:
        assert worker.get("/").body == b"7"
        worker.wait_log("this version of bottle is not known (AttributeError:")


TORNADO = """
import tornado.web
app = tornado.web.Application([], **SETTINGS)
print({name: app.settings.get(name) for name in ("compiled_template_cache", "static_hash_cache")})
if app.settings.get("autoreload"):
    from tornado import autoreload
    print("watches by itself:", bool(autoreload._io_loops))
"""


@pytest.mark.parametrize("settings", ["{}", "{'autoreload': True}", "{'debug': True, 'compiled_template_cache': True}"])
def test_tornado(tmp_path: Path, settings: str) -> None:
    pytest.importorskip("tornado")
    (tmp_path / "shop.py").write_text(TORNADO.replace("SETTINGS", settings))
    with Worker("shop:app", tmp_path, reload=True) as worker:
        worker.wait_log("{'compiled_template_cache': False, 'static_hash_cache': False}")
        worker.stop()
        assert "watches by itself: True" not in worker.log()
        assert ("watches by itself: False" in worker.log()) == ("True" in settings)


def test_nothing_of_it_without_reload(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import sys\ndef app(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [repr(('pyspeed.development' in sys.modules, len(sys.meta_path))).encode()]\n"
    )
    with Worker("shop:app", tmp_path, arguments=["-S"]) as worker:
        assert eval(worker.get("/").body) == (False, len([f for f in sys.meta_path if isinstance(f, type)]))
