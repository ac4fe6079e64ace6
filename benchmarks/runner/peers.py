"""The servers: how each is started, with which settings. One entry in PEERS is one server of the tables.

A server may be several programs (nginx in front of gunicorn): its command lines are started together, in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import nginx
from .cell import OURS, Cell
from .place import Place, Ports

Commands = Callable[[Place, Cell, Ports], "list[list[str]]"]


@dataclass(frozen=True)
class Peer:
    """`commands` makes the command lines. `needs`: programs that must be on PATH; `distribution`: what --setup
    installs for it, under the name pip knows."""

    commands: Commands
    distribution: str = ""
    needs: tuple[str, ...] = ()


def _ours(place: Place, cell: Cell, ports: Ports) -> list[list[str]]:
    return _ours_with(cell.options, place, cell, ports)


def _ours_by_default(place: Place, cell: Cell, ports: Ports) -> list[list[str]]:
    """To compare options of ours with."""
    return _ours_with((), place, cell, ports)


def _ours_with(options: tuple[str, ...], place: Place, cell: Cell, ports: Ports) -> list[list[str]]:
    return [
        [
            str(place.binary),
            *("-w", str(cell.workers), "-b", f"127.0.0.1:{ports.http}"),
            *("--set", "log.access=combined", "--access-logfile", str(place.access_log)),
            *("--set", f"admin.bind=127.0.0.1:{ports.admin}"),
            *(() if cell.interface == "wsgi" else ("--interface", cell.interface)),
            *(option.replace("{files}", str(place.files)) for option in options),
            cell.app,
        ]
    ]


def _granian(interface: str, *options: str) -> Peer:
    def commands(place: Place, cell: Cell, ports: Ports) -> list[list[str]]:
        return [
            [
                place.program(cell, "granian"),
                *("--interface", interface, "--host", "127.0.0.1", "--port", str(ports.http)),
                *("--workers", str(cell.workers), "--http", "1", "--no-ws", "--no-access-log"),
                *("--log-level", "warning"),
                *options,
                cell.app,
            ]
        ]

    return Peer(commands, "granian")


def _uvicorn_command(place: Place, cell: Cell, interface: str, *bind: str) -> list[str]:
    return [
        place.program(cell, "uvicorn"),
        *("--interface", interface, *bind),
        *("--workers", str(cell.workers), "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--log-level", "warning"),
        cell.app,
    ]


def _uvicorn(interface: str) -> Peer:
    def commands(place: Place, cell: Cell, ports: Ports) -> list[list[str]]:
        return [_uvicorn_command(place, cell, interface, "--host", "127.0.0.1", "--port", str(ports.http))]

    return Peer(commands, "uvicorn")


def _gunicorn_command(place: Place, cell: Cell, bind: str, *options: str) -> list[str]:
    return [
        place.program(cell, "gunicorn"),
        *("--bind", bind, "--workers", str(cell.workers), "--log-level", "warning"),
        # Its default of 1,000 would turn clients of the 1,000-connection cell away;
        # the control socket would be written into the user's home.
        *("--worker-connections", "2000", "--no-control-socket"),
        *options,
        cell.app,
    ]


def _gunicorn(*options: str) -> Peer:
    def commands(place: Place, cell: Cell, ports: Ports) -> list[list[str]]:
        return [_gunicorn_command(place, cell, f"127.0.0.1:{ports.http}", *options)]

    return Peer(commands, "gunicorn")


def _uwsgi_command(place: Place, cell: Cell, *options: str) -> list[str]:
    return [
        place.program(cell, "uwsgi"),
        *options,
        *("--master", "--processes", str(cell.workers), "--die-on-term", "--need-app", "--disable-logging"),
        # Its backlog of 100 is shorter than the connections of some cells.
        *("--listen", "1024", "--buffer-size", "16384", "--virtualenv", str(place.venv(cell))),
        *("--module", cell.app),
    ]


def _uwsgi_http(*options: str) -> Peer:
    def commands(place: Place, cell: Cell, ports: Ports) -> list[list[str]]:
        address = f"127.0.0.1:{ports.http}"
        # Its router speaks HTTP/1.1 with the keep-alive that every other server has by default.
        http = ("--http", address, "--http-keepalive", "--http-auto-chunked")
        return [_uwsgi_command(place, cell, *http, *options)]

    return Peer(commands, "uWSGI")


def _plain(distribution: str, make: Callable[[Place, Cell, Ports], list[str]]) -> Peer:
    return Peer(lambda place, cell, ports: [make(place, cell, ports)], distribution)


def _hypercorn(place: Place, cell: Cell, ports: Ports) -> list[str]:
    return [
        place.program(cell, "hypercorn"),
        *("-k", "uvloop", "-w", str(cell.workers), "-b", f"127.0.0.1:{ports.http}", "--log-level", "warning"),
        cell.app,
    ]


def _script(distribution: str, script: str, *options: str) -> Peer:
    """A server without a command line that would do: benchmarks/launch/`script` PORT APP OPTIONS."""

    def make(place: Place, cell: Cell, ports: Ports) -> list[str]:
        path = str(place.root / "benchmarks/launch" / script)
        return [place.program(cell, "python"), path, str(ports.http), cell.app, *options]

    return _plain(distribution, make)


def _caddysnake(interface: str, *options: str) -> Peer:
    def make(place: Place, cell: Cell, ports: Ports) -> list[str]:
        return [
            place.program(cell, "caddysnake"),
            *("-t", interface, "-l", f"127.0.0.1:{ports.http}", "-w", str(cell.workers)),
            *("--venv", str(place.venv(cell)), "--working-dir", str(place.directory(cell))),
            *options,
            *("-a", cell.app),
        ]

    return _plain("caddysnake", make)


def _flask_run(place: Place, cell: Cell, ports: Ports) -> list[str]:
    return [
        place.program(cell, "flask"),
        *("--app", cell.app, "run", "--host", "127.0.0.1", "--port", str(ports.http), "--no-reload", "--no-debugger"),
    ]


def _runserver(place: Place, cell: Cell, ports: Ports) -> list[str]:
    script = "manage.py" if (place.directory(cell) / "manage.py").exists() else f"{cell.app.partition(':')[0]}.py"
    return [place.program(cell, "python"), script, "runserver", "--noreload", f"127.0.0.1:{ports.http}"]


def _behind_nginx(distribution: str, upstream: str, make: Callable[[Place, Cell, str], list[str]]) -> Peer:
    """`make` takes the path of the unix socket that nginx passes requests to, in the way that `upstream` names."""

    def commands(place: Place, cell: Cell, ports: Ports) -> list[list[str]]:
        socket = str(nginx.socket_path(place))
        # One that was killed leaves it, and not every server takes it over.
        nginx.socket_path(place).unlink(missing_ok=True)
        return [make(place, cell, socket), nginx.command(place, ports.http, upstream)]

    return Peer(commands, distribution, needs=("nginx",))


def _nginx_static(place: Place, cell: Cell, ports: Ports) -> list[list[str]]:
    return [nginx.static_command(place, ports.http)]


def _tornado_behind(place: Place, cell: Cell, socket: str) -> list[str]:
    script = str(place.root / "benchmarks/launch/tornado_server.py")
    return [place.program(cell, "python"), script, f"unix:{socket}", cell.app]


GTHREAD = ("-k", "gthread", "--threads", "4")
# nginx keeps connections to it, and an idle one must outlive gunicorn's 2 s between two bursts.
BEHIND = ("--keep-alive", "75")
ASGI_WORKER = ("-k", "asgi", "--asgi-loop", "uvloop")

PEERS: dict[str, Peer] = {
    OURS: Peer(_ours),
    "pyspeed-default": Peer(_ours_by_default),
    "granian-wsgi": _granian("wsgi", "--blocking-threads", "1"),
    "granian-wsgi-64": _granian("wsgi", "--blocking-threads", "64"),
    "granian-wsgi-default": _granian("wsgi"),
    "granian-wsgi-pipeline": _granian("wsgi", "--blocking-threads", "1", "--http1-pipeline-flush"),
    "granian-asgi": _granian("asgi", "--loop", "uvloop"),
    "uvicorn": _uvicorn("asgi3"),
    "uvicorn-wsgi": _uvicorn("wsgi"),
    "gunicorn-sync": _gunicorn("-k", "sync"),
    "gunicorn-gthread": _gunicorn(*GTHREAD),
    "gunicorn-gthread-64": _gunicorn("-k", "gthread", "--threads", "64"),
    "gunicorn-gthread-preload": _gunicorn(*GTHREAD, "--preload"),
    "gunicorn-asgi": _gunicorn(*ASGI_WORKER),
    "gunicorn-asgi-preload": _gunicorn(*ASGI_WORKER, "--preload"),
    "fastpysgi": _script("fastpysgi", "fastpysgi_server.py"),
    "hypercorn": _plain("Hypercorn", _hypercorn),
    "waitress": _script("waitress", "waitress_server.py", "4"),
    "waitress-64": _script("waitress", "waitress_server.py", "64"),
    "uwsgi-http": _uwsgi_http(),
    "uwsgi-http-64": _uwsgi_http("--threads", "64"),
    "bjoern": _script("bjoern", "bjoern_server.py"),
    "tornado-httpserver": _script("tornado", "tornado_server.py"),
    "nginx-tornado": _behind_nginx("tornado", "http", _tornado_behind),
    "caddysnake-wsgi": _caddysnake("wsgi"),
    "caddysnake-asgi": _caddysnake("asgi", "--runtime", "uvloop"),
    "flask-run": _plain("Flask", _flask_run),
    "manage-runserver": _plain("Django", _runserver),
    "nginx-gunicorn": _behind_nginx(
        "gunicorn",
        "http",
        lambda place, cell, socket: _gunicorn_command(place, cell, f"unix:{socket}", *GTHREAD, *BEHIND),
    ),
    "nginx-gunicorn-asgi": _behind_nginx(
        "gunicorn",
        "http",
        lambda place, cell, socket: _gunicorn_command(place, cell, f"unix:{socket}", *ASGI_WORKER, *BEHIND),
    ),
    "nginx-uvicorn": _behind_nginx(
        "uvicorn", "http", lambda place, cell, socket: _uvicorn_command(place, cell, "asgi3", "--uds", socket)
    ),
    "nginx-static": Peer(_nginx_static, needs=("nginx",)),
    "nginx-uwsgi": _behind_nginx(
        "uWSGI", "uwsgi", lambda place, cell, socket: _uwsgi_command(place, cell, "--socket", socket)
    ),
}


def command_lines(name: str, place: Place, cell: Cell, ports: Ports) -> list[list[str]]:
    """The command lines of a server, each pinned to the servers' cores."""
    return [["taskset", "-c", place.server_cores, *line] for line in PEERS[name].commands(place, cell, ports)]
