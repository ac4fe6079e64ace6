"""Extensions that people add: each starts, answers and stops without a warning or a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.client import Connection, Response, fetch, request
from harness.server import Server, Spec
from harness.waiting import eventually

APPS = Path(__file__).resolve().parent / "apps"

Start = Callable[[Spec], Server]
Serve = Callable[..., "Served"]


class Served:
    """A server with one of the applications."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def get(self, target: str, method: str = "GET", body: bytes = b"", **fields: str) -> Response:
        named = [(name.replace("_", "-"), value) for name, value in fields.items()]
        return fetch(self.server.address, method, target, named, body)

    def text(self, target: str, method: str = "GET", body: bytes = b"", **fields: str) -> str:
        answer = self.get(target, method, body, **fields)
        assert answer.status == 200, answer
        return answer.body.decode()

    def stop(self) -> str:
        """Stops it; returns the log, which has nothing to complain of."""
        assert self.server.terminate() == 0
        return str(self.server.log)


@pytest.fixture
def serve(start: Start, tmp_path: Path) -> Serve:
    def one(target: str, interface: str = "auto", **workers: object) -> Served:
        return Served(
            start(
                Spec(
                    target=target,
                    interface=interface,
                    directory=APPS,
                    workers=1,
                    env={"DATABASE": str(tmp_path / "notes.sqlite3"), "PYTHONWARNINGS": "default"},
                    settings={"workers": {**workers}},
                )
            )
        )

    return one


def quiet(log: str) -> bool:
    return "Traceback" not in log and "Warning:" not in log and " ERROR " not in log


def test_django_rest_framework(serve: Serve) -> None:
    app = serve("drf_app:app")
    assert app.get("/items/").json() == [{"name": "first"}]
    made = app.get("/items/", "POST", b'{"name": "new"}', Content_Type="application/json")
    assert (made.status, made.json()) == (201, {"name": "new"})
    refused = app.get("/items/", "POST", b"name=toolong", Content_Type="application/x-www-form-urlencoded")
    assert refused.status == 400
    assert "name" in refused.json()
    assert app.get("/items/", "DELETE").status == 405
    assert "text/html" not in app.get("/items/", Accept="application/json").get("content-type")
    log = app.stop()
    assert "Traceback" not in log
    assert "Warning:" not in log


def test_flask_login(serve: Serve) -> None:
    app = serve("login_app:app")
    assert app.get("/me").status == 401
    cookies = {}
    for name in ("ann", "bob"):
        answer = app.get(f"/login/{name}", "POST")
        assert answer.status == 200
        cookies[name] = answer.get("set-cookie").partition(";")[0]
    for name in ("bob", "ann", "bob"):
        assert app.text("/me", Cookie=cookies[name]) == name
    assert app.get("/logout", "POST", Cookie=cookies["ann"]).status == 200
    assert app.get("/me").status == 401
    assert quiet(app.stop())


@pytest.mark.parametrize("model", ["threads", "gevent"])
def test_sqlalchemy_sessions_end_with_their_request(serve: Serve, model: str) -> None:
    app = serve("sqlalchemy_app:app", model=model)
    for words in ("one", "two"):
        assert app.text(f"/notes/{words}", "POST") == words
    assert app.get("/lost/three", "POST").status == 500
    assert app.get("/notes").json() == ["one", "two"]
    assert app.get("/pool").json()["in_use"] == 0
    log = app.stop()
    assert log.count("Traceback") == 1
    assert "LookupError: before the commit" in log
    assert "Warning:" not in log


@pytest.mark.parametrize("model", ["threads", "gevent"])
def test_a_pool_holds_what_runs_at_once(serve: Serve, model: str) -> None:
    """Five requests hold the pool's five connections, others are served beside them; then a trickle opens no more."""
    app = serve("sqlalchemy_app:app", model=model)
    waiting = []
    for _ in range(5):
        connection = Connection(app.server.address)
        connection.send(request("GET", "/meets"))
        waiting.append(connection)
    eventually(lambda: app.get("/pool").json()["in_use"] == 5, "five connections in use")
    assert app.text("/opens") == "opened"
    for connection in waiting:
        with connection:
            assert connection.read_response().body == b"met"
    eventually(lambda: app.get("/pool").json()["in_use"] == 0, "all connections back")
    for _ in range(20):
        assert app.get("/notes").json() == []
    assert app.get("/pool").json() == {"opened": 6, "in_use": 0} or app.get("/pool").json()["opened"] <= 6
    assert quiet(app.stop())


def test_celery(serve: Serve) -> None:
    app = serve("celery_app:app")
    assert app.text("/add/2/3") == "5"
    assert quiet(app.stop())


def test_whitenoise(serve: Serve) -> None:
    app = serve("whitenoise_app:app")
    content = (APPS / "plain.py").read_bytes()
    answer = app.get("/static/plain.py")
    assert answer.body == content
    assert app.get("/static/plain.py", If_None_Match=answer.get("etag")).status == 304
    part = app.get("/static/plain.py", Range="bytes=5-9")
    assert (part.status, part.body) == (206, content[5:10])
    assert app.get("/static/plain.py", "HEAD").get("content-length") == str(len(content))
    assert app.text("/other") == "not a file"
    assert quiet(app.stop())


def test_applications_below_a_path(serve: Serve) -> None:
    app = serve("mounted_app:app")
    assert app.text("/") == "front"
    assert app.text("/dash/page/x") == "/dash /page/x /dash/page/x"
    assert app.get("/dashboard").status == 404
    assert quiet(app.stop())


@pytest.mark.parametrize(
    ("target", "inner"),
    [("wrapped_app:by_asgiref", "wsgi"), ("wrapped_app:by_a2wsgi", "wsgi"), ("wrapped_app:to_wsgi", "asgi")],
)
def test_wrappers(serve: Serve, target: str, inner: str) -> None:
    app = serve(target)
    assert app.text("/", "POST", b"body") == f"{inner} POST body"
    big = b"b" * 300_000
    assert app.text("/", "PUT", big) == f"{inner} PUT {big.decode()}"
    assert app.get("/some/path").get("x-path") == "/some/path"
    assert quiet(app.stop())


@pytest.mark.parametrize("attribute", ["app", "asgi"])
def test_sentry(serve: Serve, attribute: str) -> None:
    app = serve(f"sentry_app:{attribute}")
    assert app.text("/") == "fine"
    assert app.get("/fails").status == 500
    app.server.log.wait_for("sentry: LookupError fails")
    log = app.stop()
    assert log.count("Traceback") == 1
    assert "Warning:" not in log


@pytest.mark.parametrize("attribute", ["app", "asgi"])
def test_opentelemetry(serve: Serve, attribute: str) -> None:
    """A span per request, with the client's trace id; those of the last moment are sent as the worker ends."""
    app = serve(f"telemetry_app:{attribute}")
    traces = [f"{n:032x}" for n in range(1, 6)]
    for one in traces:
        assert app.text("/", traceparent=f"00-{one}-00f067aa0ba902b7-01") == "fine"
    log = app.stop()
    assert sorted(re.findall(r"span: GET\S*(?: /)? ([0-9a-f]{32})", log)) == traces
    assert quiet(log)
