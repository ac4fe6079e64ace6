"""server.user, server.group, server.umask: what the server and its workers may do, looked at from outside."""

from __future__ import annotations

import os
import pwd
import re
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.client import Response, fetch
from harness.server import Server, Spec, binary, clean_environment
from harness.users import STRANGER, identities, needs_root, python_for_everybody
from harness.waiting import eventually

pytestmark = [pytest.mark.pyspeed, needs_root]

APPLICATION = """
import json, os

def app(environ, start_response):
    path = environ["PATH_INFO"]
    answer = {"pid": os.getpid(), "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups()}
    if path == "/env":
        answer = dict(os.environ)
    elif path == "/back":
        answer = {}
        for name, arguments in [("setuid", (0,)), ("setgid", (0,)), ("setgroups", ([0],)), ("seteuid", (0,))]:
            try:
                getattr(os, name)(*arguments)
                answer[name] = "worked"
            except OSError as error:
                answer[name] = error.strerror
    elif path == "/make":
        with open(environ["QUERY_STRING"], "w") as file:
            answer = {"mode": os.fstat(file.fileno()).st_mode & 0o777}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""

WWW = pwd.getpwnam("www-data")
Open = Callable[..., Server]


@pytest.fixture
def folder(public: Path) -> Path:
    (public / "who.py").write_text(APPLICATION)
    (public / "theirs").mkdir()
    os.chown(public / "theirs", WWW.pw_uid, WWW.pw_gid)
    return public


@pytest.fixture
def serve(start: Callable[..., Server], folder: Path) -> Open:
    """serve(workers=…, process=…, **tables)."""

    def start_one(*, workers: int = 1, ready: bool = True, **settings: Any) -> Server:
        more = {name: settings.pop(name) for name in ("binds", "process", "env") if name in settings}
        tables = {**settings, "app": {"python": python_for_everybody(), **settings.get("app", {})}}
        return start(Spec("who:app", folder, workers=workers, settings=tables, **more), ready=ready)

    return start_one


def get(server: Server, target: str = "/") -> Response:
    return fetch(server.address, "GET", target)


def run(folder: Path, *arguments: str, **process: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(binary()), *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **process,
    )


def four(number: int) -> str:
    return " ".join([str(number)] * 4)


def test_becomes_the_user_for_good(serve: Open) -> None:
    """Every thread of the gateway, and every worker, also of later generations; none can go back."""
    server = serve(workers=2, server={"user": "www-data"})
    www = (four(WWW.pw_uid), four(WWW.pw_gid), str(WWW.pw_gid))
    for turn in range(2):
        for pid in (server.pid, *server.workers()):
            assert identities(pid) == {www}
        assert set(get(server, "/back").json().values()) == {"Operation not permitted"}
        env = get(server, "/env").json()
        assert (env["HOME"], env["USER"], env["LOGNAME"]) == (WWW.pw_dir, "www-data", "www-data")
        if turn == 0:
            old = set(server.workers())
            server.signal(signal.SIGHUP)
            eventually(
                lambda old=old: len(set(server.workers()) - old) == 2 and not set(server.workers()) & old, "new ones"
            )  # type: ignore[misc]
    assert b"ERROR" not in server.log.since()


@pytest.mark.parametrize(
    ("user", "group", "uid", "gid"),
    [
        ("", "www-data", 0, WWW.pw_gid),
        (str(STRANGER), str(STRANGER), STRANGER, STRANGER),
        ("nobody", "www-data", 65534, WWW.pw_gid),
    ],
)
def test_users_and_groups(serve: Open, user: str, group: str, uid: int, gid: int) -> None:
    server = serve(server={"user": user, "group": group})
    for pid in (server.pid, *server.workers()):
        assert identities(pid) == {(four(uid), four(gid), str(gid))}


def test_what_only_root_can_open_is_open(serve: Open, folder: Path) -> None:
    """Addresses, pid file and logs are opened in a folder of root's; the files belong to the user then."""
    roots = folder / "roots"
    roots.mkdir()
    old = roots / "old.log"
    old.touch(0o600)
    server = serve(
        binds=(f"unix:{roots}/s", "127.0.0.1:0"),
        server={"user": "www-data", "pid": str(roots / "gw.pid")},
        log={"access": "json", "access_file": str(roots / "access.log")},
    )
    assert get(server).json()["uid"] == [WWW.pw_uid] * 3
    for name in ("s", "gw.pid", "access.log"):
        assert (roots / name).stat().st_uid == WWW.pw_uid
    eventually(lambda: (roots / "access.log").read_text(), "the line is written")

    # What root had a right to and the user has not is an error in the log, and the old file goes on.
    (roots / "access.log").rename(roots / "access.log.1")
    mark = server.log.mark()
    server.signal(signal.SIGUSR1)
    server.log.wait_for("ERROR cannot open the access log: .*permission denied; lines go to the old file", since=mark)
    assert get(server, "/?again").status == 200
    eventually(lambda: "/?again" in (roots / "access.log.1").read_text(), "the old file goes on")

    # As logrotate's "create 0640 www-data" leaves it.
    (roots / "access.log").touch(0o640)
    os.chown(roots / "access.log", WWW.pw_uid, WWW.pw_gid)
    mark = server.log.mark()
    server.signal(signal.SIGUSR1)
    server.log.wait_for("logs opened anew", since=mark)
    assert get(server, "/?third").status == 200
    eventually(lambda: "/?third" in (roots / "access.log").read_text(), "the new file is written")

    mark = server.log.mark()
    server.stop()
    server.log.wait_for("cannot remove the pid file; the next start replaces it", since=mark)
    server = serve(
        server={"user": "www-data", "pid": str(roots / "gw.pid")}, log={"access": "json", "access_file": str(old)}
    )
    assert (roots / "gw.pid").read_text() == f"{server.pid}\n"
    assert old.stat().st_uid == 0, "a file that was there has another owner now"


def test_rotation_in_the_users_folder(serve: Open, folder: Path) -> None:
    access = folder / "theirs" / "access.log"
    server = serve(server={"user": "www-data"}, log={"access": "json", "access_file": str(access)})
    access.rename(access.with_name("access.log.1"))
    server.signal(signal.SIGUSR1)
    eventually(access.exists, "a new file")
    assert get(server, "/?after").status == 200
    eventually(lambda: "/?after" in access.read_text(), "the new file is written")
    assert access.stat().st_uid == WWW.pw_uid


def test_reload_of_a_file_that_the_user_cannot_read(serve: Open) -> None:
    server = serve(server={"user": "www-data"})
    workers = server.workers()
    os.chmod(server.config, 0o600)
    server.signal(signal.SIGHUP)
    server.log.wait_for(
        r"ERROR cannot reload, all stays as it was: .*permission denied; the gateway is the user www-data"
    )
    assert server.workers() == workers
    os.chmod(server.config, 0o644)
    server.signal(signal.SIGHUP)
    server.log.wait_for("reloaded generation")


@pytest.mark.parametrize(
    ("arguments", "process", "said"),
    [
        (
            ("--user", "www-data"),
            {"user": STRANGER, "group": STRANGER, "extra_groups": []},
            r"cannot become the user www-data \(33, group 33\): only root can .*; start .* as root, or leave server",
        ),
        (("--group", "www-data"), {"user": STRANGER, "group": STRANGER, "extra_groups": []}, "only root can"),
        (("--user", "no-such-user"), {}, 'there is no user "no-such-user" here'),
        (("--user", "4000000"), {}, "set server.group too"),
        (("--group", "no-such-group"), {}, 'there is no group "no-such-group" here'),
    ],
)
def test_remedies(folder: Path, arguments: tuple[str, ...], process: dict[str, Any], said: str) -> None:
    said = said.replace("33, group 33", f"{WWW.pw_uid}, group {WWW.pw_gid}")
    ended = run(folder, "who:app", "--bind", "127.0.0.1:0", "--python", python_for_everybody(), *arguments, **process)
    assert ended.returncode == 1
    assert re.search(said, ended.stderr), ended.stderr


def test_the_same_user_needs_no_root(serve: Open) -> None:
    """As where a service manager has chosen the user already."""
    server = serve(server={"user": "www-data"}, process={"user": WWW.pw_uid, "group": WWW.pw_gid, "extra_groups": []})
    assert get(server).json()["uid"] == [WWW.pw_uid] * 3


def test_check_imports_as_the_user(folder: Path) -> None:
    (folder / "noted.py").write_text(
        "import os\nopen('theirs/uid', 'w').write(str(os.getuid()))\ndef app(e, s): pass\n"
    )
    ended = run(folder, "check", "noted:app", "--user", "www-data", "--python", python_for_everybody())
    assert ended.returncode == 0, ended.stderr
    assert (folder / "theirs" / "uid").read_text() == str(WWW.pw_uid)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_umask(serve: Open, folder: Path) -> None:
    """Of the gateway's files, of its sockets, and of what the application makes."""
    server = serve(
        binds=(f"unix:{folder}/s", "127.0.0.1:0"),
        server={"umask": "027", "pid": str(folder / "gw.pid")},
        log={"access": "json", "access_file": str(folder / "access.log")},
    )
    assert fetch(server.addresses[1], "GET", f"/make?{folder}/made").json() == {"mode": 0o640}
    assert (mode(folder / "s"), mode(folder / "gw.pid"), mode(folder / "access.log")) == (0o640, 0o640, 0o640)


def test_without_umask(serve: Open, folder: Path) -> None:
    server = serve(binds=(f"unix:{folder}/s",), process={"umask": 0o022})
    assert mode(folder / "s") == 0o666
    assert get(server, f"/make?{folder}/made").json() == {"mode": 0o644}
