"""Where the compiled modules come from, and what is left of the process that compiles them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gateway import PYTHON, Worker, zip_shim

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the package is compiled in place there")

# Imports the package from a zip; {before} and {after} surround the start of the child.
IMPORT = """
import json, os, sys, zipimport
archive = sys.argv[1]
sys.path.insert(0, archive)
for fd in (3, 4, 5):
    os.dup2(0, fd)
from pyspeed import precompile
compiled = []
{before}
finish = precompile.begin(zipimport.zipimporter(archive))
{after}
import pyspeed.worker, pyspeed.wsgi, pyspeed.hooks, pyspeed.asgi, pyspeed.tornado_worker
finish()
finish()
try:
    os.waitpid(-1, os.WNOHANG)
    left = True
except ChildProcessError:
    left = False
print(json.dumps([left, pyspeed.wsgi.__file__ == archive + "/pyspeed/wsgi.py", pyspeed.worker.main([])]))
"""
# From then on whoever compiles here notes it.
NOTE = """
def note(self, name, get_code=zipimport.zipimporter.get_code):
    compiled.append(name.rpartition(".")[2])
    return get_code(self, name)
zipimport.zipimporter.get_code = note
"""


def import_package(before: str, after: str = NOTE, compiled: str = "[]") -> Any:
    archive = zip_shim()
    moved = os.dup2(archive, 100, inheritable=True)
    os.close(archive)
    try:
        code = IMPORT.format(before=before, after=after) + "assert %s, compiled\n" % compiled
        done = subprocess.run(
            [PYTHON, "-W", "error", "-c", code, "/proc/self/fd/%d" % moved],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(moved,),
            timeout=60,
            check=False,
        )
    finally:
        os.close(moved)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("before", "compiled"),
    [
        pytest.param("", "sys.version_info < (3, 10) or not compiled", id="the child compiles"),
        pytest.param(
            "def fork(): raise OSError(11, 'no more processes')\nos.fork = fork",
            "sys.version_info < (3, 10) or len(compiled) == len(precompile._MODULES)",
            id="no process",
        ),
        pytest.param(
            "precompile._MODULES = ('worker', 'loader', 'absent', 'wsgi')",
            "sys.version_info < (3, 10) or 'loader' not in compiled and 'wsgi' in compiled",
            id="the child fails on the way",
        ),
        pytest.param(
            "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\nos.fork = None",
            "True",
            id="threads run already",
        ),
    ],
)
def test_the_package_is_imported(before: str, compiled: str) -> None:
    left, from_zip, code = import_package(before, compiled=compiled)
    assert not left
    assert from_zip
    assert code == 2  # of worker.main without a command


SHOP = """
import os
from pathlib import Path

def app(environ, start_response):
    children = "".join(path.read_text() for path in Path("/proc/self/task").glob("*/children"))
    pipes = [fd for fd in range(3, 100) if "/pipe:" in os.path.realpath("/proc/self/fd/%d" % fd)]
    start_response("200 OK", [])
    return [repr((children, len(pipes))).encode()]
"""


def test_a_worker_keeps_neither_child_nor_pipe(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    with Worker("shop:app", tmp_path, shim="zip") as worker:
        # The pipe that is left, with its two ends, wakes the control thread.
        assert eval(worker.get("/").body) == ("", 2), worker.log()
        assert worker.stop() == 0
