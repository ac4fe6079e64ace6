"""The package's face: what it imports, and when; where it finds the gateway's binary."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyspeed
from pyspeed import binary, cli

PACKAGE = Path(pyspeed.__file__).resolve().parent


def loaded_by(statement: str) -> set[str]:
    code = "import sys\n%s\nprint('\\n'.join(sys.modules))" % statement
    environ = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-S", "-c", code]
    output = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True).stdout
    return set(output.decode().split())


@pytest.mark.parametrize("statement", ["import pyspeed.worker, pyspeed.wsgi", "import pyspeed"])
def test_workers_import_nothing_of_run_app(statement: str) -> None:
    loaded = loaded_by(statement)
    assert "pyspeed" in loaded
    mine = {"run", "attached", "background", "binary", "cli", "interrupt", "keywords", "launch", "pytest_plugin"}
    assert not loaded & {"pyspeed." + name for name in mine}
    assert not loaded & {"json", "socket", "subprocess", "tempfile", "weakref", "typing", "signal"} - loaded_by("")


def test_public_names() -> None:
    from pyspeed import GatewayError, StartFailed, run_app, serving

    assert callable(run_app)
    assert isinstance(serving, type)
    assert issubclass(GatewayError, RuntimeError)
    assert issubclass(StartFailed, Exception)
    # Importing a module of the package must not put it in the place of a name of the same spelling.
    from pyspeed import pytest_plugin

    assert pyspeed.serving is pytest_plugin.serving
    with pytest.raises(AttributeError, match="nothing"):
        pyspeed.nothing  # noqa: B018 - looking is the test


def test_binary_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "pyspeed"
    package.mkdir(parents=True)
    monkeypatch.setattr(binary, "__file__", str(package / "binary.py"))
    scripts = tmp_path / "scripts"
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(scripts))
    on_path = tmp_path / "bin"
    checkout = tmp_path / "bin" / binary.NAME  # of a checkout: site is the folder of the package's folder
    places = [package / "bin" / binary.NAME, scripts / binary.NAME, on_path / binary.NAME]
    environ = {"PATH": "relative:%s" % on_path}
    with pytest.raises(binary.NotFound) as caught:
        binary.find(environ)
    for place in places:
        assert str(place) in str(caught.value)
    assert "relative" not in str(caught.value)
    for place in reversed(places):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        with pytest.raises(binary.NotFound) if place is places[-1] else pytest.MonkeyPatch.context():
            binary.find(environ)  # not executable yet
        place.chmod(0o755)
        assert binary.find(environ) == str(place)
    named = tmp_path / "named"
    named.touch(0o755)
    assert binary.find({**environ, "PYSPEED_GW": str(named)}) == str(named)
    with pytest.raises(binary.NotFound, match="is no executable file"):
        binary.find({**environ, "PYSPEED_GW": str(tmp_path)})
    (tmp_path / "go.mod").touch()
    assert binary.find({"PATH": ""}) == str(places[0])
    places[0].unlink()
    places[1].unlink()
    assert binary.find({"PATH": ""}) == str(checkout)


def test_command_line_without_a_binary(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PYSPEED_GW", "/nowhere")
    assert cli.main(["main:app"]) == 1
    assert "pyspeed: cannot start the gateway: PYSPEED_GW names /nowhere" in capsys.readouterr().err


def test_command_line_becomes_the_gateway(tmp_path: Path) -> None:
    gateway = tmp_path / "gateway"
    gateway.write_text('#!/bin/sh\necho "$PYSPEED_CALLER" "$@"\nexit 7\n')
    gateway.chmod(0o755)
    environ = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYSPEED_GW": str(gateway)}
    result = subprocess.run(
        [sys.executable, "-m", "pyspeed", "main:app", "--workers", "2"],
        env=environ,
        stdout=subprocess.PIPE,
        check=False,
    )
    assert result.returncode == 7
    said = result.stdout.decode()
    assert said.endswith(" main:app --workers 2\n")
    assert '"version": "%s"' % pyspeed.__version__ in said
    assert '"python": "%s"' % sys.executable in said
