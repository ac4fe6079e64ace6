"""What a call of run_app asks for: the plan made of its keyword arguments."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Dict, List

import pytest

from pyspeed import keywords


def app(environ: Dict[str, Any], start_response: Any) -> List[bytes]:
    return []


def arguments(**given: Any) -> List[str]:
    """The flags, without the ends that are always the same."""
    found = keywords.plan(app, given, {}).arguments
    assert found[0] == "--config=" + os.devnull
    assert found[-2:] == ["--", "%s:app" % __name__]
    return [argument for argument in found[1:-2] if argument != "--set=log.level=warning"]


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ({}, []),
        ({"host": "0.0.0.0", "port": 80}, ["--host=0.0.0.0", "--port=80"]),
        ({"port": 0}, ["--port=0"]),
        ({"host": None, "port": None}, []),
        ({"uds": "/run/s"}, ["--uds=/run/s"]),
        ({"unix_socket": Path("/run/s")}, ["--uds=/run/s"]),
        ({"bind": ["a:1", "unix:/s"]}, ["--bind=a:1", "--bind=unix:/s"]),
        ({"listen": "a:1 b:2"}, ["--bind=a:1", "--bind=b:2"]),
        ({"threads": 8}, ["--set=workers.threads=8"]),
        ({"threaded": False}, ["--set=workers.threads=1"]),
        ({"threaded": True, "use_reloader": False, "ssl_context": None}, []),
        ({"interface": "asgi3"}, ["--set=app.interface=asgi"]),
        ({"factory": True}, ["--set=app.factory=true"]),
        ({"timeout_keep_alive": 5}, ["--set=server.timeouts.idle=5.000s"]),
        ({"timeout_graceful_shutdown": 0.25}, ["--set=server.timeouts.shutdown=0.250s"]),
        ({"access_log": True}, ["--set=log.access=combined"]),
        ({"access_log": False}, ["--set=log.access=off"]),
        ({"accesslog": "-"}, ["--set=log.access_file=-", "--set=log.access=combined"]),
        ({"log_level": "critical"}, ["--set=log.level=error"]),
        ({"log_level": logging.DEBUG}, ["--set=log.level=debug"]),
        ({"loglevel": "TRACE"}, ["--set=log.level=debug"]),
        ({"options": {"server.limits.body": "10MiB"}}, ["--set=server.limits.body=10MiB"]),
        ({"options": {"server.bind": ["a:1", "b:2"]}}, ["--set=server.bind=a:1,b:2"]),
        ({"workers": 1, "loop": "auto", "http": "h11", "ws": "auto"}, []),
    ],
)
def test_arguments(given: Dict[str, Any], flags: List[str]) -> None:
    assert arguments(**given) == flags


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"prot": 80}, TypeError, r"unknown keyword argument 'prot'; did you mean 'port'\?"),
        ({"zzzzzzz": 80}, TypeError, "unknown keyword argument 'zzzzzzz'; docs/run_app.md lists"),
        ({"host": "a", "hostname": "b"}, TypeError, "host twice"),
        ({"threads": 2, "options": {"workers.threads": 3}}, TypeError, "workers.threads twice"),
        ({"threads": 2, "threaded": False}, TypeError, "workers.threads twice"),
        ({"reload": True}, ValueError, r'cannot reload an application object.*run_app\("main:app", reload=True\)'),
        ({"use_reloader": True, "workers": 2}, ValueError, "cannot reload an application object"),
        ({"options": {"reload.enabled": True}}, ValueError, "cannot reload an application object"),
        ({"reload_ignore_patterns": ["x"]}, ValueError, "regular expressions"),
        ({"ssl_certfile": "cert.pem"}, ValueError, "terminate TLS in front"),
        ({"ssl_context": "adhoc"}, ValueError, "terminate TLS in front"),
        ({"workers": 2}, ValueError, r'name it, as in run_app\("main:app", workers=2\)'),
        ({"processes": "auto"}, ValueError, "application object"),
        ({"options": {"workers.count": 3}}, ValueError, "application object"),
        ({"loop": "trio"}, ValueError, "use asyncio, uvloop or auto"),
        ({"headers": [("a", "b")]}, ValueError, "let the application"),
        ({"limit_max_requests": 5}, ValueError, "not recycled"),
        # 0 is not False, nor is 1 True.
        ({"date_header": 1}, ValueError, "Date"),
    ],
)
def test_refused(given: Dict[str, Any], kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        keywords.plan(app, given, {})


def test_workers_take_a_name() -> None:
    plan = keywords.plan("main:app", {"workers": 3}, {})
    assert plan.spawned
    assert plan.arguments[-3:] == ["--set=log.level=warning", "--", "main:app"]
    assert "--set=workers.count=3" in plan.arguments
    assert not keywords.plan("main:app", {}, {}).spawned
    with pytest.raises(ValueError, match="several workers"):
        keywords.plan("main:app", {"workers": 3, "debug": True}, {})


def test_reload_takes_a_name() -> None:
    for given in ({"reload": True}, {"use_reloader": True}, {"reloader": 1}, {"options": {"reload.enabled": "true"}}):
        plan = keywords.plan("main:app", given, {})
        assert plan.spawned
        # Its lines say what is going on.
        assert plan.arguments[1:] == ["--set=reload.enabled=true", "--", "main:app"]
    more = {"reload_dirs": ["a", Path("b")], "reload_excludes": "x/**", "reload_delay": 0.1, "extra_files": ["c.ini"]}
    assert keywords.plan("main:app", {"reload": True, **more}, {}).arguments[1:-2] == [
        "--set=reload.directories=a,b",
        "--set=reload.exclude=x/**",
        "--set=reload.delay=0.100s",
        "--set=reload.include=c.ini",
        "--set=reload.enabled=true",
    ]
    assert "--set=workers.count=2" in keywords.plan("main:app", {"reload": True, "workers": 2}, {}).arguments
    assert not keywords.plan("main:app", {"reload": False}, {}).spawned
    with pytest.raises(ValueError, match="or reload"):
        keywords.plan("main:app", {"reload": True, "debug": True}, {})


def test_log_level_is_low_where_nobody_says_otherwise() -> None:
    for given, environ, low in (
        ({}, {}, True),
        ({"log_level": "info"}, {}, False),
        ({"options": {"log.level": "info"}}, {}, False),
        ({"config": "pyspeed.toml"}, {}, False),
        ({}, {"PYSPEED_LOG_LEVEL": "info"}, False),
    ):
        found = keywords.plan(app, given, environ).arguments  # type: ignore[arg-type]
        assert ("--set=log.level=warning" in found) is low


def test_free_port() -> None:
    for given, free in (
        ({}, True),
        ({"host": "::1"}, True),
        ({"port": 80}, False),
        ({"uds": "/s"}, False),
        ({"options": {"server.bind": "a:1"}}, False),
    ):
        found = keywords.plan(app, given, {}, free_port=True).arguments  # type: ignore[arg-type]
        assert ("--port=0" in found) is free


def test_descriptors_are_kept() -> None:
    assert keywords.plan(app, {"fd": 7}, {}).keep == [7]
    assert keywords.plan(app, {"bind": ["fd:8", "a:1"]}, {}).keep == [8]


def test_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert arguments(load_dotenv=True) == []
    (tmp_path / ".env").touch()
    assert arguments(load_dotenv=True) == ["--set=app.env_file=%s/.env" % tmp_path.resolve()]
    assert arguments(load_dotenv=False) == []


def test_labels_are_targets() -> None:
    class Callable_:
        def __call__(self) -> None: ...

    assert keywords.label(app) == "%s:app" % __name__
    assert keywords.label(lambda: None).startswith("%s:test_labels" % __name__)
    assert keywords.label(Callable_()).endswith("Callable_")
    odd = type("odd name", (), {})()
    assert keywords.label(odd) == "__main__:app"


def test_every_keyword_has_a_reason() -> None:
    for name, keyword in keywords.KEYWORDS.items():
        assert keyword.about, name
        assert keyword.action in (keywords.OPTION, keywords.HANDLED, keywords.IGNORED, keywords.REFUSED)
        assert bool(keyword.key) == (keyword.action == keywords.OPTION), name
