"""--reload: the source changes, as editors and Git change it, and the answers with it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import processes
from harness.client import Connection, Response, fetch, request
from harness.server import Server, Spec
from harness.waiting import eventually
from harness.wire import Data, End

pytestmark = pytest.mark.pyspeed

# part.py is what the tests edit.
APP = """
import os, time
import part

def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        with open("begun", "a") as begun:
            begun.write("x")
        while not os.path.exists("gate"):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [part.TEXT, b" ", str(os.getpid()).encode()]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/events":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: hello\\n\\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": part.TEXT + b" " + str(os.getpid()).encode()})
"""


def part(text: str) -> str:
    return f"TEXT = b{text!r}\n"


class Project:
    """A folder with an application, and the server that reloads it."""

    def __init__(self, folder: Path, start: Callable[..., Server]) -> None:
        self.folder = folder
        self._start = start
        self.server: Server

    def write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def serve(
        self, target: str = "app:wsgi", *, ready: bool = True, env: dict[str, str] | None = None, **reload: object
    ) -> Server:
        spec = Spec(target, self.folder, workers=1, env=env or {}, settings={"reload": {"enabled": True, **reload}})
        self.server = self._start(spec, ready=ready)
        if not ready:
            self.server.wait_until_listening()
        return self.server

    def get(self, path: str = "/", *fields: tuple[str, str]) -> Response:
        return fetch(self.server.address, "GET", path, fields)

    def text(self) -> str:
        answer = self.get()
        assert answer.status == 200, answer
        return answer.body.decode().partition(" ")[0]

    def worker(self) -> int:
        """The process that answers. Beside it there is one that waits to be the next."""
        return int(self.get().body.split()[1])

    def expect(self, text: str) -> None:
        eventually(lambda: self.text() == text, f"{text} is served")

    def reloads(self) -> list[str]:
        """What was loaded so far: the files of each reload."""
        return re.findall(r"reloaded in \d+ ms: (.*)$", str(self.server.log), re.MULTILINE)

    def settled(self, *expected: str) -> None:
        """These are all reloads so far: a change that counts comes last."""
        before = len(expected)
        self.write("zz_last.py", f"x = {time.time()!r}\n")
        eventually(lambda: "zz_last.py" in self.reloads()[before:], "the last change was loaded")
        assert self.reloads() == [*expected, "zz_last.py"]


@pytest.fixture
def project(tmp_path: Path, start: Callable[..., Server]) -> Project:
    one = Project(tmp_path / "project", start)
    one.write("app.py", APP)
    one.write("part.py", part("first"))
    return one


@pytest.mark.parametrize("poll", ["off", "on"])
def test_editors_saves(project: Project, poll: str) -> None:
    """Each is one reload: written in place, twice, truncated first, renamed over, and as Vim and Emacs do."""
    project.serve(poll=poll)
    path = project.folder / "part.py"
    expected = []

    def saved(text: str) -> None:
        project.expect(text)
        expected.append("part.py")

    project.write("part.py", part("in-place"))
    saved("in-place")
    with path.open("w") as file:  # truncates
        file.write(part("half"))
        file.flush()
        file.write(part("whole"))
    saved("whole")
    project.write("part.py", part("once"))
    project.write("part.py", part("twice"))
    saved("twice")
    project.write("part.py___jb_tmp___", part("renamed")).replace(path)
    saved("renamed")
    # Vim with its backup: looks whether it may write, moves the old one away, writes, removes the old one.
    project.write("4913", "").unlink()
    path.rename(project.folder / "part.py~")
    project.write("part.py", part("vim"))
    (project.folder / "part.py~").unlink()
    saved("vim")
    lock = project.folder / ".#part.py"
    lock.symlink_to("me@here.1:2")
    project.write("#part.py#", "unsaved")
    project.write("part.py", part("emacs"))
    (project.folder / "#part.py#").unlink()
    lock.unlink()
    saved("emacs")
    project.settled(*expected)


def test_what_is_no_reload(project: Project) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project.folder, check=True)
    project.write(".gitignore", "ignored_*.py\n")
    project.write("excluded/x.py", "x = 1\n")
    project.serve(exclude=["excluded/"])
    project.write("part.py", part("first"))  # the same content
    os.utime(project.folder / "part.py")
    (project.folder / "part.py").chmod(0o755)
    project.write("ignored_x.py", "x = 1\n")
    project.write("excluded/x.py", "x = 2\n")
    project.write("notes.md", "x")
    project.write("data.sqlite3", "x")
    project.write("__pycache__/part.cpython-311.pyc", "x")
    project.write("node_modules/x/x.py", "x")
    project.write(".venv/pyvenv.cfg", "x")
    project.write(".venv/lib/x.py", "x")
    project.settled()
    assert project.text() == "first"


def test_50_edits_a_second_of_equal_size(project: Project) -> None:
    """Few reloads, none of them of old code, and the last edit is what is served in the end."""
    # With bytecode, as outside of tests: it cannot tell two edits in a second from each other.
    project.serve(env={"PYTHONDONTWRITEBYTECODE": ""}, delay="200ms")
    number = 1000
    began = time.monotonic()
    seen = 0
    for _ in range(100):
        number += 1
        project.write("part.py", part(str(number)))
        time.sleep(0.02)
    project.expect(str(number))
    storm = time.monotonic() - began
    reloads = project.reloads()
    assert 1 <= len(reloads) <= storm / 0.2 + 1  # each has waited for a fifth of a second of quiet, or longer
    assert set(reloads) == {"part.py"}
    for _ in range(10):  # one after the other, each within the same second as the one before, if the machine can
        number += 1
        project.write("part.py", part(str(number)))
        project.expect(str(number))
        seen += 1
    assert seen == 10


def test_requests_wait_for_the_new_code(project: Project) -> None:
    project.serve()
    project.write(
        "part.py",
        "import os, time\nopen('importing', 'w').close()\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\n"
        + part("second"),
    )
    eventually((project.folder / "importing").exists, "the new code is being imported")
    connections = [Connection(project.server.address) for _ in range(20)]
    for connection in connections:
        connection.send(request("GET", "/"))
    # They have arrived, and wait.
    eventually(lambda: metric(project.server, "pyspeed_queue_length") == 20, "all requests wait")
    (project.folder / "go").touch()
    for connection in connections:
        with connection:
            answer = connection.read_response()
            assert (answer.status, answer.body.split()[0]) == (200, b"second")


def metric(server: Server, name: str) -> float:
    assert server.admin
    text = fetch(server.admin, "GET", "/metrics").body.decode()
    found = re.search(rf"^{re.escape(name)} (.*)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def test_a_change_during_a_reload_is_one_more(project: Project) -> None:
    project.serve()
    slow = "import os, time\nopen('importing', 'w').close()\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\n"
    project.write("part.py", slow + part("second"))
    eventually((project.folder / "importing").exists, "the new code is being imported")
    with Connection(project.server.address) as connection:
        connection.send(request("GET", "/"))
        # Nobody opens the gate: what is being imported is given up for the newer code.
        project.write("part.py", part("third"))
        answer = connection.read_response()
    assert (answer.status, answer.body.split()[0]) == (200, b"third")
    project.settled("part.py")


@pytest.mark.parametrize("target", ["app:wsgi", "app:asgi"])
def test_broken_and_mended(project: Project, target: str) -> None:
    """Every request is answered by what is wrong, and by the code again once that is mended."""
    project.serve(target)
    project.expect("first")
    project.write("part.py", "TEXT = (b'no end'\n")
    eventually(lambda: project.get().status == 500, "it is broken")
    answer = project.get("/anything", ("Accept", "text/html"))
    assert answer.status == 500
    assert "text/html" in answer.get("Content-Type")
    for wanted in (b"SyntaxError", b"part.py", b"TEXT = (b", b"never closed"):
        assert wanted in answer.body
    assert b"SyntaxError" in project.get("/anything").body  # text for those who do not ask for a page
    project.server.log.wait_for("SyntaxError")
    # Broken otherwise: the page follows.
    project.write("part.py", "import no_such_module\n")
    eventually(lambda: b"no_such_module" in project.get().body, "the page is about the new error")
    project.write("part.py", part("mended"))
    eventually(lambda: project.get().status == 200, "it is mended")
    assert project.text() == "mended"


def test_broken_and_the_old_code_goes_on(project: Project) -> None:
    project.serve(on_error="keep")
    project.write("part.py", "def x(:\n")
    project.server.log.wait_for("SyntaxError")
    project.server.log.wait_for("the old code goes on: part.py")
    assert project.text() == "first"
    project.write("part.py", part("mended"))
    project.expect("mended")


def test_broken_from_the_start(project: Project) -> None:
    """The gateway listens all the same, says what is wrong, and waits for its end."""
    project.write("part.py", "1 / 0\n")
    project.serve(ready=False)
    answer = project.get()
    assert answer.status == 500
    assert b"ZeroDivisionError" in answer.body
    project.server.log.wait_for("ZeroDivisionError")
    project.write("part.py", part("mended"))
    eventually(lambda: project.get().status == 200, "it is mended")
    assert project.text() == "mended"
    project.server.wait_until_ready()


def test_deleted_and_restored_module(project: Project) -> None:
    project.serve(env={"PYTHONDONTWRITEBYTECODE": ""})
    path = project.folder / "part.py"
    path.unlink()
    eventually(lambda: b"ModuleNotFoundError" in project.get().body, "the module is missed")
    project.write("part.py", part("first"))
    project.expect("first")


def test_new_package(project: Project) -> None:
    project.serve()
    project.write("shop/deep/prices.py", part("from a new package"))
    project.write("shop/__init__.py", "")
    project.write("shop/deep/__init__.py", "")
    project.write("part.py", "from shop.deep.prices import TEXT\n")
    project.expect("from")
    project.write("shop/deep/prices.py", part("edited"))
    project.expect("edited")
    (project.folder / "shop").rename(project.folder / "store")
    project.write("part.py", "from store.deep.prices import TEXT\n")
    project.expect("edited")
    project.write("store/deep/prices.py", part("renamed"))
    project.expect("renamed")


def test_symlink_swap(project: Project, tmp_path: Path) -> None:
    """As releases are deployed: app.directory is a link."""
    releases = project.folder
    for number in (1, 2):
        project.write(f"{number}/app.py", APP)
        project.write(f"{number}/part.py", part(f"release-{number}"))
    current = releases / "current"
    current.symlink_to("1")
    project.folder = current
    project.serve()
    project.expect("release-1")
    (releases / "new").symlink_to("2")
    (releases / "new").replace(current)
    project.expect("release-2")
    project.write("part.py", part("edited"))  # through the link
    project.expect("edited")
    assert (releases / "2" / "part.py").read_text() == part("edited")


@pytest.mark.limit(180)
def test_checkout_of_5000_files(project: Project) -> None:
    """Quick to start with, one reload for each checkout, and few resources."""

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=project.folder, check=True, capture_output=True)

    def fill(text: str) -> None:
        for number in range(5000):
            project.write(f"p{number % 100}/q{number % 7}/m{number}.py", f"x = {text!r}\n")
        project.write("part.py", part(text))
        git("add", "-A")
        git("commit", "-q", "-m", text)

    git("init", "-q", "-b", "one")
    fill("one")
    git("checkout", "-q", "-b", "two")
    fill("two")
    server = project.serve()
    assert project.text() == "two"
    for branch in ("one", "two"):
        before = len(project.reloads())
        git("checkout", "-q", branch)
        project.expect(branch)
        eventually(lambda before=before: len(project.reloads()) > before, "it was loaded")
        assert len(project.reloads()) == before + 1
        assert "and 4998 more files" in project.reloads()[-1]
    # A folder is watched, not a file.
    (said,) = server.log.wait_for(r"watching .* folders=(\d+)")
    assert int(said[1]) == 1 + 100 + 700


def test_event_streams_end_and_nothing_hangs(project: Project) -> None:
    project.serve("app:asgi")
    with Connection(project.server.address) as connection:
        connection.send(request("GET", "/events"))
        events = connection.events()
        while not isinstance(event := next(events), Data):
            pass
        assert event.data == b"data: hello\n\n"
        worker = project.worker()
        project.write("part.py", part("second"))
        project.expect("second")
        rest = list(events)  # raises where the stream is cut
        assert isinstance(rest[-1], End)
    eventually(lambda: not processes.alive(worker), "the old worker is gone")


def test_old_code_that_does_not_end_is_not_waited_for(project: Project) -> None:
    project.serve()
    old = project.worker()
    with Connection(project.server.address) as connection:
        connection.send(request("GET", "/wait"))
        eventually((project.folder / "begun").exists, "the request runs")
        project.write("part.py", part("second"))
        project.expect("second")
        eventually(lambda: not processes.alive(old), "the old worker is gone")
        assert connection.read_response().status == 502
    assert (project.folder / "begun").read_text() == "x"  # and was not run again


def test_what_runs_may_end(project: Project) -> None:
    project.serve()
    with Connection(project.server.address) as connection:
        connection.send(request("GET", "/wait"))
        eventually((project.folder / "begun").exists, "the request runs")
        project.write("part.py", "import os\nopen('gate', 'w').close()\n" + part("second"))
        answer = connection.read_response()
        assert (answer.status, answer.body.split()[0]) == (200, b"first")
    project.expect("second")


def test_answers_never_go_back(project: Project) -> None:
    """Clients ask all the time while the code changes: no answer fails, none is of older code than one before it."""
    project.serve()
    over = threading.Event()
    faults: list[str] = []

    def ask() -> None:
        newest = 0
        with Connection(project.server.address) as connection:
            while not over.is_set():
                answer = connection.request("GET", "/")
                number = int(answer.body.split()[0]) if answer.status == 200 else -1
                if number < newest:
                    faults.append(f"{answer.status} {answer.body!r} after {newest}")
                newest = number

    project.write("part.py", part("1000"))
    project.expect("1000")
    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for number in range(1001, 1011):
            project.write("part.py", part(str(number)))
            project.expect(str(number))
    finally:
        over.set()
        for client in clients:
            client.join()
    assert not faults


def test_it_says_what_it_does(project: Project) -> None:
    server = project.serve(directories=["."], include=["*.ini"])
    server.log.wait_for(rf"reload: watching {re.escape(str(project.folder))} folders=1 by=events")
    for name in ("a.ini", "b.ini", "c.ini", "d.ini", "e.ini"):
        project.write(name, "x")
    server.log.wait_for(r"reloaded in \d+ ms: a.ini, b.ini, c.ini, and 2 more files")


def test_one_worker_unless_more_are_wanted(tmp_path: Path, project: Project, start: Callable[..., Server]) -> None:
    spec = Spec("app:wsgi", project.folder, settings={"reload": {"enabled": True}, "workers": {"threads": "auto"}})
    text = spec.toml().replace("count = 1\n", "")
    spec.toml = lambda: text  # type: ignore[method-assign]
    assert metric(start(spec), "pyspeed_workers_ready") == 1


def test_several_workers(project: Project, start: Callable[..., Server]) -> None:
    """All are replaced, and none of the old answers once one of the new has."""
    project.server = start(Spec("app:wsgi", project.folder, workers=3, settings={"reload": {"enabled": True}}))
    before = {project.worker() for _ in range(30)}
    project.write("part.py", part("second"))
    project.expect("second")
    assert {project.text() for _ in range(30)} == {"second"}
    eventually(lambda: not any(map(processes.alive, before)), "the old ones are gone")
    eventually(lambda: metric(project.server, "pyspeed_workers_ready") == 3, "there are three")


def test_configuration_and_env_file(project: Project, start: Callable[..., Server]) -> None:
    """They are read again: what can be applied is, and what is wrong leaves all as it was."""
    project.write("app.py", APP.replace("return [part.TEXT,", "return [os.environ['GREETING'].encode() + part.TEXT,"))
    env_file = project.write("shop.env", "GREETING=hello-\n")
    settings = {"reload": {"enabled": True}, "app": {"env_file": str(env_file)}}
    project.server = start(Spec("app:wsgi", project.folder, workers=1, settings=settings))
    project.expect("hello-first")
    env_file.write_text("GREETING=good-day-\n")
    project.expect("good-day-first")
    config = Path(project.server.process.args[-1])  # type: ignore[index]
    text = config.read_text()
    config.write_text(text.replace("count = 1", "count = 2") + '[log]\naccess = "combined"\n')
    eventually(lambda: metric(project.server, "pyspeed_workers_ready") == 2, "there are two workers")
    project.server.log.wait_for("the configuration has changed")
    project.expect("good-day-first")
    project.server.log.wait_for(r'"GET / HTTP/1\.1" 200')
    config.write_text(text + "no_such_option = 1\n")
    project.server.log.wait_for("no_such_option")
    project.write("part.py", part("second"))  # which counts all the same
    project.expect("good-day-second")
    config.write_text(text)
    eventually(lambda: metric(project.server, "pyspeed_workers_ready") == 1, "there is one worker again")


def test_hup_heals_too(project: Project) -> None:
    """A reload that somebody asks for ends the error page as one of ours does."""
    project.write("missing.txt", "")
    project.write("part.py", "open('missing.txt').close()\n" + part("first"))
    project.serve()
    (project.folder / "missing.txt").unlink()  # which is no source
    project.write("zz.py", "x = 1\n")
    eventually(lambda: b"FileNotFoundError" in project.get().body, "it is broken")
    project.write("missing.txt", "")
    project.server.process.send_signal(signal.SIGHUP)
    eventually(lambda: project.get().status == 200, "it is mended")
    assert project.text() == "first"
