"""Our FastCGI responder asked by gofast, which `pyspeed-gw probe` is made of."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fronts import Responder
from harness.server import binary

HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=[(name, kind) for name in ("wsgi", "asgi") for kind in ("tcp", "unix")])
def responder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Responder]:
    name, kind = request.param
    folder = tmp_path_factory.mktemp("probed")
    address = "127.0.0.1:0" if kind == "tcp" else f"unix:{folder}/s"
    responder = Responder(f"responder_apps:{name}", "--app-dir", str(HERE), folder=folder / "r", address=address)
    yield responder
    assert responder.stop() == 0


def probe(responder: Responder, target: str, *options: str, body: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """One question. Options go before the address."""
    command = [str(binary()), "probe", *options, responder.address, target]
    return subprocess.run(command, input=body, capture_output=True, timeout=30, check=False)


def test_an_answer(responder: Responder) -> None:
    done = probe(responder, "/hello")
    assert done.returncode == 0, done.stderr
    assert b"200" in done.stdout.splitlines()[0]
    assert done.stdout.rstrip().endswith(b"hello")


def test_body_and_fields(responder: Responder) -> None:
    body = b"0123456789" * 30000
    done = probe(responder, "/echo", "--method", "POST", "--body", "-", body=body)
    assert done.returncode == 0, done.stderr
    assert body in done.stdout
    done = probe(responder, "/fields", "--header", "X-One: 1", "--header", "Proxy: http://evil.test")
    found = dict(json.loads(done.stdout[done.stdout.index(b"[[") :]))
    assert found["x-one"] == "1"
    assert "proxy" not in found


def test_paths_and_scripts(responder: Responder) -> None:
    for options in ((), ("--root", "/srv"), ("--script-filename", "/srv/app.py")):
        done = probe(responder, "/path/a?b=c", *options)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout[done.stdout.index(b"{") :])
        assert found["path"] == "/path/a", options


def test_a_failure_and_its_traceback(responder: Responder) -> None:
    done = probe(responder, "/raise")
    assert done.returncode == 0, "any answer that ends in order is one"
    assert b"500" in done.stdout.splitlines()[0]
    assert b"the till is broken" in done.stderr


def test_an_answer_that_is_cut(responder: Responder) -> None:
    assert probe(responder, "/hello").returncode == 0
    # A gate that is open: it fails right after its first bytes.
    assert probe(responder, "/open?cut").returncode == 0
    done = probe(responder, "/raise_later?cut")
    assert b"the till broke" in done.stderr
    assert done.returncode == 1, "an end without END_REQUEST is no answer"
