"""What is measured: applications, and the command lines of the servers with their reloaders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent

OURS = "pyspeed"


@dataclass(frozen=True)
class App:
    """A shop of examples/. The edit changes the title of its front page, in `file`."""

    folder: str
    target: str
    interface: str
    file: str = "shop/catalog.py"
    before: str = "<title>Shop"

    @property
    def source(self) -> Path:
        return REPOSITORY / "examples" / self.folder


APPS = {
    "flask-shop": App("flask_shop", "wsgi:application", "wsgi"),
    "fastapi-shop": App("fastapi_shop", "asgi:app", "asgi"),
}


@dataclass(frozen=True)
class Server:
    """A server and its command line, without the interpreter's path. `{…}` are filled in by command()."""

    name: str
    arguments: tuple[str, ...]
    apps: tuple[str, ...]
    note: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    def command(self, app: App, python: str, binary: Path, port: int) -> list[str]:
        values = {
            "python": python,
            "binary": str(binary),
            "port": str(port),
            "target": app.target,
            "interface": app.interface,
            "uvicorn_interface": {"asgi": "asgi3"}.get(app.interface, app.interface),
        }
        return [argument.format(**values) for argument in self.arguments]


ALL = tuple(APPS)
SERVERS = (
    Server(
        OURS,
        ("{binary}", "{target}", "--reload", "--python", "{python}", "--bind", "127.0.0.1:{port}", "--control", "off"),
        ALL,
        "as it comes: events, delay 50 ms, one worker",
    ),
    Server(
        "flask run",
        ("{python}", "-m", "flask", "--app", "{target}", "run", "--debug", "--port", "{port}"),
        ("flask-shop",),
        "--debug; as it comes: looks at the files once a second",
        (("PYTHONPATH", str(HERE / "without_watchdog")),),
    ),
    Server(
        "flask run, watchdog",
        ("{python}", "-m", "flask", "--app", "{target}", "run", "--debug", "--port", "{port}"),
        ("flask-shop",),
        "--debug, with watchdog installed: events",
    ),
    Server(
        "uvicorn",
        (
            *("{python}", "-m", "uvicorn", "{target}", "--interface", "{uvicorn_interface}", "--reload"),
            *("--port", "{port}", "--log-level", "warning"),
        ),
        ALL,
        "--reload, with watchfiles installed: events",
    ),
    Server(
        "granian",
        ("{python}", "-m", "granian", "--interface", "{interface}", "--reload", "--port", "{port}", "{target}"),
        ALL,
        "--reload, with granian[reload], which is watchfiles: events",
    ),
)
