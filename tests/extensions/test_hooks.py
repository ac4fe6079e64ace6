"""Lifecycle hooks found by name: when they are called, with what, and what becomes of their errors."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.client import fetch
from harness.server import Server, Spec

APPS = Path(__file__).resolve().parent / "apps"

Start = Callable[..., Server]


def spec(target: str, directory: Path = APPS, hook: str = "", model: str = "threads") -> Spec:
    return Spec(
        target=target,
        directory=directory,
        workers=1,
        env={"HOOK": hook},
        settings={"workers": {"model": model}},
    )


def said(server: Server) -> list[str]:
    return re.findall(r"hook: (.*?) worker=.*stream=stdout", str(server.log))


@pytest.mark.parametrize("model", ["threads", "gevent"])
def test_of_a_wsgi_application(start: Start, model: str) -> None:
    server = start(spec("hooked:application", model=model))
    assert fetch(server.address, "GET", "/").body == b"hooked"
    assert server.terminate() == 0
    request = "request main" if model == "threads" else "request other"
    assert said(server) == [
        "import",
        "post_fork True 1 1 True None main",
        "post_worker_init True main",
        request,
        "worker_exit main",
    ]
    assert "hook: through the log worker=1 stream=stderr" in str(server.log)


def test_before_the_factory(start: Start) -> None:
    server = start(spec("hooked:create_app()"))
    server.terminate()
    assert [line.split()[0] for line in said(server)] == [
        "import",
        "post_fork",
        "factory",
        "post_worker_init",
        "worker_exit",
    ]


def test_a_later_process_of_a_slot_is_older(start: Start) -> None:
    one = spec("hooked:application")
    one.workers = 2
    server = start(one)
    server.log.wait_for("hook: post_fork True 2 1 True None")
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)
    server.log.wait_for("hook: post_fork True 1.2 2 True None")
    server.log.wait_for("hook: post_fork True 2.2 2 True None")


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_of_an_asgi_application(start: Start, kind: str) -> None:
    """Plain hooks are called outside the loop, coroutine functions run on it; both around the lifespan."""
    server = start(spec("hooked_asgi:application", hook=kind))
    assert fetch(server.address, "GET", "/").body == b"hooked"
    assert server.terminate() == 0
    assert said(server) == [
        "post_fork False",
        f"post_worker_init {kind == 'coroutine'} True",
        "lifespan.startup",
        "lifespan.shutdown",
        "worker_exit True",
    ]


APPLICATION = "def application(environ, start_response): ...\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def post_fork():\n    1 / 0\n", "post_fork: ZeroDivisionError: division by zero"),
        ("def post_worker_init(worker):\n    raise SystemExit('no')\n", "post_worker_init: SystemExit: no"),
        ("def post_worker_init(a, b, c): ...\n", "cannot call the hook post_worker_init: it takes no argument"),
        ("def post_worker_init(*, a): ...\n", "cannot call the hook post_worker_init: it takes no argument"),
        ("async def post_worker_init(): ...\n", "cannot call the hook post_worker_init: it is a coroutine function"),
        ("async def worker_exit(): ...\n", "cannot call the hook worker_exit: it is a coroutine function"),
        ("async def post_fork(): ...\n", "cannot call the hook post_fork: it is a coroutine function"),
    ],
)
def test_one_that_fails_at_the_start(start: Start, tmp_path: Path, code: str, expected: str) -> None:
    (tmp_path / "app.py").write_text(APPLICATION + code)
    server = start(spec("app:application", tmp_path), ready=False)
    assert server.wait_exit() == 3
    assert f"cannot start the application: its lifecycle hook failed: {expected}" in str(server.log)


def test_the_traceback_of_one_that_fails_is_shown(start: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APPLICATION + "def post_worker_init():\n    1 / 0  # here\n")
    server = start(spec("app:application", tmp_path), ready=False)
    assert server.wait_exit() == 3
    assert "1 / 0  # here" in str(server.log)
    assert "hooks.py" not in str(server.log)


def test_one_that_fails_at_the_end_is_logged(start: Start) -> None:
    server = start(spec("hooked:application", hook="exit"))
    assert server.terminate() == 0
    assert "the hook worker_exit failed" in str(server.log)
    assert "LookupError: on purpose, at the end" in str(server.log)


def test_what_only_looks_like_one(start: Start, tmp_path: Path) -> None:
    """Not functions of this very module, so not called."""
    (tmp_path / "elsewhere.py").write_text("def post_fork():\n    raise LookupError\n")
    (tmp_path / "app.py").write_text(
        "from elsewhere import post_fork\nworker_exit = None\nclass post_worker_init:\n    pass\n"
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'fine']\n"
    )
    server = start(spec("app:application", tmp_path))
    assert fetch(server.address, "GET", "/").body == b"fine"
    assert server.terminate() == 0
    assert "Error" not in str(server.log)


def test_of_a_django_project(start: Start, tmp_path: Path) -> None:
    """They are in the module that the application comes from, the project's wsgi.py."""
    project = tmp_path / "mysite"
    project.mkdir()
    (project / "__init__.py").touch()
    (project / "settings.py").write_text("SECRET_KEY = 'x'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'mysite.urls'\n")
    (project / "urls.py").write_text(
        "from django.http import HttpResponse\nfrom django.urls import path\n"
        "urlpatterns = [path('', lambda request: HttpResponse('django'))]\n"
    )
    (project / "wsgi.py").write_text(
        "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n"
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
        "def post_fork(worker):\n    print('hook: fork', worker.id, flush=True)\n"
        "def worker_exit(server, worker):\n    print('hook: exit', worker.app is application, flush=True)\n"
    )
    server = start(spec("mysite", tmp_path))
    assert fetch(server.address, "GET", "/").body == b"django"
    assert server.terminate() == 0
    assert said(server) == ["fork 1", "exit True"]
