"""Where things are: directories, ports, cores."""

from __future__ import annotations

import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .cell import Cell


@dataclass(frozen=True)
class Place:
    """`venvs` is the folder with the environments; `work` is a directory for logs that outlives no run."""

    venvs: Path
    binary: Path
    root: Path
    wrk: Path
    work: Path
    server_cores: str
    load_cores: str

    def venv(self, cell: Cell) -> Path:
        return self.venvs / cell.environment

    def program(self, cell: Cell, name: str) -> str:
        """The path of a program in the cell's environment."""
        return str(self.venv(cell) / "bin" / name)

    def directory(self, cell: Cell) -> Path:
        return self.root / cell.directory

    @property
    def access_log(self) -> Path:
        return self.work / "access.log"

    @property
    def discard(self) -> Path:
        """Where discard.py builds the program that cells with large bodies are loaded by."""
        return self.work / "discard"

    @property
    def files(self) -> Path:
        """Where files.py puts what static cells ask for."""
        return self.work / "files"


@dataclass(frozen=True)
class Ports:
    http: int
    admin: int


def free_ports() -> Ports:
    """Two ports that were free a moment ago."""
    with socket.socket() as a, socket.socket() as b:
        a.bind(("127.0.0.1", 0))
        b.bind(("127.0.0.1", 0))
        return Ports(a.getsockname()[1], b.getsockname()[1])


def environment(place: Place, cell: Cell) -> dict[str, str]:
    """The caller's environment, less what would change a server behind the command line's back."""
    settings = ("GRANIAN_", "UVICORN_", "GUNICORN_", "PYSPEED_", "PYTHON", "OTEL_", "UWSGI_", "FLASK_", "DJANGO_")
    plain = ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG")
    env = {k: v for k, v in os.environ.items() if not k.startswith(settings) and k not in plain}
    venv = place.venv(cell)
    env["VIRTUAL_ENV"] = str(venv)
    env["PATH"] = f"{venv / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"
    env["PYTHONDONTWRITEBYTECODE"] = "1"  # leave nothing beside the applications
    env["BENCH_FILES"] = str(place.files)  # of the applications that serve files
    env["SHOP_DB"] = str(place.work / "shop.sqlite3")  # of the example shops
    return env


def free_work_directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyspeed-bench-")
