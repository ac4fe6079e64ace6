"""A Django project by its name, and Django's signals of a request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import django
import pytest
from harness import zoo
from harness.client import fetch, request
from harness.server import Server
from harness.waiting import eventually
from harness.zoo import Zoo

pytestmark = pytest.mark.pyspeed

CLASS_OF = {"wsgi": "WSGIRequest", "asgi": "ASGIRequest"}


@pytest.fixture
def start_site(start: Callable[..., Server], tmp_path: Path) -> Callable[..., Zoo]:
    def start_one(interface: str, **app: object) -> Zoo:
        spec = zoo.spec("django_site", interface, tmp_path, workers=1, settings={"app": app})
        spec.target = "django_site"
        return Zoo(start(spec), interface, tmp_path)

    return start_one


def test_project_by_name(start_site: Callable[..., Zoo], interface: str) -> None:
    """Without wsgi.py, asgi.py, manage.py and DJANGO_SETTINGS_MODULE."""
    assert start_site(interface).get("/").body == f"django_site.settings {CLASS_OF[interface]}".encode()


def test_settings_module_of_the_env_file(start_site: Callable[..., Zoo], interface: str, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("DJANGO_SETTINGS_MODULE=django_site.other\n")
    site = start_site(interface, env_file=str(tmp_path / "env"))
    assert site.get("/").body == f"django_site.other {CLASS_OF[interface]}".encode()


def test_an_answer_that_is_whole_has_its_length(start_site: Callable[..., Zoo]) -> None:
    """Without CommonMiddleware Django does not say it. What streams has none."""
    site = start_site("wsgi")
    for method in ("GET", "HEAD"):
        answer = fetch(site.address, method, "/")
        body = b"django_site.settings WSGIRequest"
        assert (answer.body, answer.get("Content-Length")) == (body if method == "GET" else b"", str(len(body)))
        answer = fetch(site.address, method, "/big")  # more than a record
        assert (len(answer.body), answer.get("Content-Length")) == (200_000 if method == "GET" else 0, "200000")
    assert site.get("/stream").get("Transfer-Encoding") == "chunked"
    lazy = site.get("/lazy")
    assert (lazy.body, lazy.get("Transfer-Encoding")) == (b"first second", "chunked")
    assert site.get("/lying").body == b"123"
    site.server.log.wait_for("cannot send 2 more bytes")
    assert site.get("/raises").get("Content-Length") == str(len(site.get("/raises").body))


def test_every_request_finishes_once(start_site: Callable[..., Zoo], interface: str) -> None:
    """request_finished closes the database's connections, so it must come, and in the request's own thread."""
    site = start_site(interface)
    ends = {"/": 200, "/stream": 200, "/file": 200, "/raises": 500, "/missing": 404}
    for target, status in ends.items():
        assert site.get(target).status == status
    assert len(site.get("/file").body) == 200_000
    # Under ASGI Django before 5.0 does not listen for the client's leaving, and leaves out the signal.
    left = 3 if interface == "wsgi" or django.VERSION >= (5, 0) else 0
    for _ in range(left):
        with site.connect() as connection:
            connection.send(request("GET", "/stream?endless"))
            next(connection.events())  # the head
            connection.vanish()
    count = len(ends) + 1 + left
    eventually(lambda: site.runs("finished")["finished"] == count, "every request has finished")
    assert site.get("/").status == 200
    # WSGI: after the answer's last byte.
    eventually(lambda: site.runs("finished")["finished"] == count + 1, "and the last")
    assert site.runs() == {"started": count + 1, "finished": count + 1}
