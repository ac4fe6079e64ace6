"""app.static = "auto": the folders of Flask, Starlette, FastAPI and Django, with the answers that these would give."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import processes
from harness.client import Response, fetch
from harness.server import Server, Spec, binary, clean_environment
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed

APPS = Path(__file__).resolve().parent / "static_auto"
# Of every kind that the web has, and some that stay with the application.
NAMES = (
    *(
        "app.css",
        "app.js",
        "module.mjs",
        "data.json",
        "page.html",
        "note.txt",
        "picture.svg",
        "picture.png",
        "font.woff2",
    ),
    *(
        "sub/deep/app.css",
        "with space.css",
        "ü.css",
        "UPPER.CSS",
        "archive.tar.gz",
        "program.py",
        "none",
        ".hidden.css",
    ),
    *("empty.css", "a.b.css"),
)
# What is there beside them, or is not, and is the application's affair.
OTHERS = (
    *("linked.css", "missing.css", "sub", "sub/", "", "../own/app.css", "%2e%2e/shop/app.css", "sub%2fdeep/app.css"),
    *("app.css/", "app.css/x", "%00.css", "a%5Cb.css", "app.css%20", "con.css"),
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for folder in ("own", "shop"):
        for name in NAMES:
            path = tmp_path / "files" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"" if name.startswith("empty") else f"{folder} {name} ".encode() * 50)
        outside = tmp_path / "outside.css"
        outside.write_text("outside")
        (tmp_path / "files" / folder / "linked.css").symlink_to(outside)
    return tmp_path / "files"


@pytest.fixture
def serve(start: Callable[[Spec], Server], files: Path) -> Callable[..., Server]:
    """serve(target, on): an application with app.static on or off."""

    def serve_one(target: str, on: bool = True) -> Server:
        settings = {"app": {"static": "auto" if on else "off"}}
        env = {"STATIC_AUTO": str(files)}
        return start(Spec(target=f"{target}()", directory=APPS, workers=1, env=env, settings=settings))

    return serve_one


def asked(server: Server) -> int:
    """How many requests the workers had."""
    assert server.admin is not None
    text = fetch(server.admin, "GET", "/metrics").body.decode()
    return sum(int(n) for n in re.findall(r"^pyspeed_worker_requests_total\S* (\d+)$", text, re.MULTILINE))


def get(server: Server, target: str, method: str = "GET", *fields: tuple[str, str]) -> Response:
    return fetch(server.address, method, target, fields)


def same(one: Response, other: Response) -> bool:
    def told(answer: Response) -> tuple[object, ...]:
        return (
            answer.status,
            answer.body,
            answer.get("Content-Type"),
            answer.get("Cache-Control"),
            answer.get("Content-Length"),
        )

    return told(one) == told(other)


def served_by_the_gateway(server: Server, target: str) -> bool:
    before = asked(server)
    assert get(server, target).status == 200
    return asked(server) == before


ALIKE = ["on_flask:make", "on_flask:with_blueprint", "on_starlette:fastapi", "on_starlette:starlette"]


def test_large_files_are_not_copied(serve: Callable[..., Server], files: Path) -> None:
    (files / "own" / "large.css").write_bytes(b"0123456789abcdef" * 1_000_000)
    server = serve("on_flask:make")
    eventually(lambda: served_by_the_gateway(server, "/static/large.css"), "the gateway has the folder")
    before = processes.bytes_read(server.pid)
    assert get(server, "/static/large.css").body == b"0123456789abcdef" * 1_000_000
    assert processes.bytes_read(server.pid) - before < 4_000_000


@pytest.mark.parametrize("target", ALIKE)
def test_answers_are_equal(serve: Callable[..., Server], target: str) -> None:
    auto, plain = serve(target), serve(target, False)
    eventually(lambda: served_by_the_gateway(auto, "/static/app.css"), "the gateway has the folder")
    routes = ["/static", "/shop/assets"] if "blueprint" in target else ["/static"]
    for route in routes:
        for name in (*NAMES, *OTHERS):
            for method in ("GET", "HEAD", "POST", "OPTIONS"):
                path = f"{route}/{name.replace(' ', '%20').replace('ü', '%C3%BC')}"
                one, other = get(auto, path, method), get(plain, path, method)
                assert same(one, other), (method, path, one, other)
        part = [("Range", "bytes=3-9")]
        one, other = get(auto, f"{route}/app.css", "GET", *part), get(plain, f"{route}/app.css", "GET", *part)
        assert one.status == other.status == 206 and one.body == other.body
    before = asked(auto)
    assert get(auto, "/static/sub/deep/app.css").status == 200
    assert asked(auto) == before
    # Of files that the application would have another type for than is certain, it says so itself.
    for name in ("UPPER.CSS", "archive.tar.gz", "program.py", "none"):
        assert not served_by_the_gateway(auto, f"/static/{name}")


def test_django(serve: Callable[..., Server], files: Path) -> None:
    """STATIC_ROOT is served, which Django itself does not do in production; the rest is Django's."""
    server = serve("on_django:make")
    eventually(lambda: get(server, "/static/app.css").status == 200, "the gateway has the folder")
    answer = get(server, "/static/app.css")
    assert answer.body == (files / "own/app.css").read_bytes()
    assert answer.get("Content-Type") == "text/css; charset=utf-8"
    assert get(server, "/").body == b"front"
    assert get(server, "/static/missing.css").status == 404
    assert get(server, "/static/app.css", "POST").status == 404


REFUSED = {
    "on_flask:guarded": "there are before_request_funcs, which may change the answer",
    "on_flask:wrapped": "wsgi_app is the application's own (or a middleware's)",
    "on_flask:shadowed": "the route /static/special.css is within it",
    "on_starlette:zipped": "there is middleware, which may change the answer",
    "on_starlette:shadowed": "the route /{folder}/special.css comes before it",
    "on_starlette:guarded": "its StaticFiles are more than one folder, or a class of their own",
}


@pytest.mark.parametrize("target", REFUSED)
def test_where_the_application_has_a_say(serve: Callable[..., Server], target: str) -> None:
    server = serve(target)
    server.log.wait_for("app.static: .*" + re.escape(REFUSED[target]))
    assert not served_by_the_gateway(server, "/static/app.css")


@pytest.mark.parametrize(
    ("target", "path", "status", "said"),
    [
        ("on_flask:nested", "/admin/files/assets/app.css", 401, "there are before_request_funcs"),
        ("on_flask:guarded_view", "/static/app.css", 401, "its view is the application's own"),
        ("on_flask:trusting", "/static/app.css", 400, "TRUSTED_HOSTS is set"),
        ("on_flask:built_only", "/static/app.css", 404, "its route is for more, or less, than files"),
        ("on_flask:favicon", "/static/app.css", 308, "the route /favicon.css is for one of its files"),
        ("on_starlette:private", "/static/app.css", 403, "its route is a class of its own"),
        ("on_django:viewed", "/static/app.css", 401, "the URLconf has a view for it"),
    ],
)
def test_what_the_application_refuses(
    serve: Callable[..., Server], target: str, path: str, status: int, said: str
) -> None:
    server = serve(target)
    server.log.wait_for("app.static: .*" + re.escape(said))
    if "nested" in target:
        eventually(lambda: served_by_the_gateway(server, "/static/app.css"), "the gateway has what is not guarded")
    assert get(server, path).status == status


@pytest.mark.skipif(sys.platform != "linux", reason="counts instances of inotify, by /proc")
def test_recycled_workers_find_the_same(start: Callable[[Spec], Server], files: Path) -> None:
    settings = {"app": {"static": "auto"}, "workers": {"max_requests": 1}}
    spec = Spec(
        target="on_starlette:hosted()", directory=APPS, workers=1, env={"STATIC_AUTO": str(files)}, settings=settings
    )
    server = start(spec)

    def instances() -> int:
        links = []
        for descriptor in Path(f"/proc/{server.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(descriptor))
        return sum("inotify" in link for link in links)

    eventually(lambda: served_by_the_gateway(server, "/static/app.css"), "the gateway has the folder")
    assert instances() == 1
    for n in range(5):
        assert get(server, "/").body == b"front"
        server.log.wait_for("reason=max_requests", count=n + 1)
    assert served_by_the_gateway(server, "/static/app.css")
    assert instances() == 1
    server.log.wait_for("/late: the route other.example comes before it")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "on_flask:with_blueprint",
            "app.static: serves /static from {files}/own; serves /shop/assets from {files}/shop",
        ),
        ("on_flask:guarded", "app.static: /static/<path:filename>: there are before_request_funcs"),
        ("on_starlette:fastapi", "app.static: serves /static from {files}/own"),
        ("on_django:make", "app.static: serves /static from {files}/own"),
    ],
)
def test_check_says_what_it_finds(files: Path, target: str, said: str) -> None:
    command = [
        str(binary()),
        "check",
        f"{target}()",
        "--app-static",
        "auto",
        "--chdir",
        str(APPS),
        "--python",
        sys.executable,
    ]
    env = {**clean_environment(), "STATIC_AUTO": str(files)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    assert said.format(files=files) in done.stdout


def test_a_reload_finds_anew(serve: Callable[..., Server], files: Path) -> None:
    """What is off after a reload is the application's again, and files that have changed are seen."""
    server = serve("on_flask:make")
    eventually(lambda: served_by_the_gateway(server, "/static/app.css"), "the gateway has the folder")
    (files / "own/app.css").write_text("changed")
    eventually(lambda: get(server, "/static/app.css").body == b"changed", "the change is seen")
    server.configure(app={"static": "off"})
    server.signal(signal.SIGHUP)
    server.log.wait_for("the configuration has changed.*app.static")
    eventually(lambda: not served_by_the_gateway(server, "/static/app.css"), "the application serves it")
