"""One server under test: started, watched, stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import processes
from .client import PATIENCE, Address, fetch
from .waiting import eventually

REPOSITORY = Path(__file__).resolve().parents[2]
# "", or the peer that stands in for pyspeed-gw.
PEER = os.environ.get("PYSPEED_TEST_PEER", "")

# A server's lines that say where it listens.
_LISTENING = {
    "": re.compile(rb"listening on ((?:http://|unix:)[^\s\"]+)"),
    "gunicorn": re.compile(rb"Listening at: ((?:http://|unix:)[^\s,]+)"),
    "uvicorn": re.compile(rb"running on (http://[^\s]+|unix [^\s]+)"),
}
_ADMIN = re.compile(rb"admin on (http://[^\s\"]+)")


def clean_environment() -> dict[str, str]:
    """Ours, without what pyspeed-gw or a peer would take for an option."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYSPEED_", "GUNICORN_", "UVICORN_"))
        and name not in ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "VIRTUAL_ENV")
    }
    return {**clean, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def binary() -> Path:
    return Path(os.environ.get("PYSPEED_GW") or REPOSITORY / "bin" / "pyspeed-gw")


@dataclass
class Spec:
    """What to start. ``settings`` are tables of pyspeed.toml, merged over the rest."""

    target: str
    directory: Path
    interface: str = "auto"
    edge: str = "netpoll"
    # More where the test is about several: to start one takes most of what a server costs.
    workers: int = 1
    binds: tuple[str, ...] = ("127.0.0.1:0",)
    env: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # Entries of [[upstream]]; with the route "/" the target is "".
    upstreams: Sequence[Mapping[str, Any]] = ()
    # Entries of [[static]].
    statics: Sequence[Mapping[str, Any]] = ()
    # Entries of [[cache_route]].
    cache_routes: Sequence[Mapping[str, Any]] = ()
    # Entries of [[rate_limit]].
    limits: Sequence[Mapping[str, Any]] = ()
    # A program, with its arguments, that runs the rest of its command line in its own place.
    prefix: tuple[str, ...] = ()
    # For Popen, as the user to run as.
    process: Mapping[str, Any] = field(default_factory=dict)

    def toml(self) -> str:
        tables: dict[str, dict[str, Any]] = {
            "app": {
                "target": self.target,
                "interface": self.interface,
                "directory": str(self.directory),
                "python": sys.executable,
            },
            "server": {"bind": list(self.binds), "edge": self.edge},
            "workers": {"count": self.workers},
            "admin": {"bind": "127.0.0.1:0"},
        }
        for name, table in self.settings.items():
            tables.setdefault(name, {}).update(table)
        # A JSON string, number, boolean or array of these is the same in TOML.
        entries: list[tuple[str, Mapping[str, Any]]] = [(f"[{name}]", table) for name, table in tables.items()]
        entries += [("[[upstream]]", entry) for entry in self.upstreams]
        entries += [("[[static]]", entry) for entry in self.statics]
        entries += [("[[cache_route]]", entry) for entry in self.cache_routes]
        entries += [("[[rate_limit]]", entry) for entry in self.limits]
        return "\n".join(
            header + "\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
            for header, table in entries
        )

    def command(self, config: Path) -> list[str]:
        if PEER == "gunicorn":
            kind = ["-k", "asgi"] if self.interface == "asgi" else ["-k", "gthread", "--threads", "32"]
            binds = [part for bind in self.binds for part in ("-b", bind)]
            return [sys.executable, "-m", "gunicorn", *kind, "-w", str(self.workers), *binds, self.target]
        if PEER == "uvicorn":
            where = ["--port", "0"]
            if self.binds[0].startswith("unix:"):
                where = ["--uds", self.binds[0][len("unix:") :]]
            interface = "wsgi" if self.interface == "wsgi" else "asgi3"
            return [sys.executable, "-m", "uvicorn", *where, "--interface", interface, "--no-access-log", self.target]
        return [str(binary()), "-c", str(config)]


class Log:
    """What the server wrote to stdout and stderr, line by line, collected by a thread."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.ended = False
        self._changed = threading.Condition()

    def collect(self, stream: Any) -> None:
        for line in iter(stream.readline, b""):
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()
        stream.close()

    def mark(self) -> int:
        return len(self.lines)

    def since(self, mark: int = 0) -> bytes:
        return b"".join(self.lines[mark:])

    def wait_for(self, pattern: str | re.Pattern[bytes], since: int = 0, count: int = 1) -> list[re.Match[bytes]]:
        """Waits until count lines match, and returns the matches.

        Raises AssertionError with the log when the server ended, or after PATIENCE.
        """
        regex = re.compile(pattern.encode()) if isinstance(pattern, str) else pattern
        matches: list[re.Match[bytes]] = []
        looked_at = since

        def enough() -> bool:
            # A line is looked at once: there may be tens of thousands.
            nonlocal looked_at
            matches.extend(match for line in self.lines[looked_at:] if (match := regex.search(line)))
            looked_at = max(looked_at, len(self.lines))
            return len(matches) >= count or self.ended

        with self._changed:
            self._changed.wait_for(enough, PATIENCE)
        if len(matches) < count:
            raise AssertionError(f"{count} lines matching {regex.pattern!r} expected, got {len(matches)} in:\n{self}")
        return matches

    def __str__(self) -> str:
        text = self.since().decode("utf-8", "backslashreplace")
        if len(text) < 20_000:
            return text
        middle = text[5_000:-15_000].splitlines(keepends=True)
        told = "".join(line for line in middle if " WARNING " in line or " ERROR " in line)
        return text[:5_000] + "\n[…]\n" + told[:20_000] + "\n[…]\n" + text[-15_000:]


class Server:
    """A running server. Use ``start``; ``stop`` must be called."""

    def __init__(self, spec: Spec, workspace: Path) -> None:
        if not PEER and not binary().exists():
            raise FileNotFoundError(f"cannot start {binary()}: build it first (make build), or set PYSPEED_GW")
        self.spec = spec
        self.log = Log()
        self.addresses: list[Address] = []
        self.admin: Address | None = None
        self.config = workspace / "pyspeed.toml"
        self.config.write_text(spec.toml(), encoding="utf-8")
        self.process = subprocess.Popen(
            [*spec.prefix, *spec.command(self.config)],
            cwd=spec.directory,
            env={**clean_environment(), **spec.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=processes.die_with_parent,
            bufsize=-1,
            **spec.process,
        )
        self._collector = threading.Thread(target=self.log.collect, args=(self.process.stdout,), daemon=True)
        self._collector.start()

    def configure(self, **tables: Mapping[str, Any]) -> None:
        """Writes these over the settings in its file, at once; the server has to be told."""
        settings = {name: dict(table) for name, table in self.spec.settings.items()}
        for name, table in tables.items():
            settings.setdefault(name, {}).update(table)
        self.spec = replace(self.spec, settings=settings)
        written = self.config.with_name("written.toml")
        written.write_text(self.spec.toml(), encoding="utf-8")
        written.replace(self.config)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @classmethod
    def start(cls, spec: Spec, workspace: Path) -> Server:
        """Starts and waits until it is ready to answer."""
        server = cls(spec, workspace)
        try:
            server.wait_until_listening()
            server.wait_until_ready()
        except BaseException:
            server.kill()
            raise
        return server

    def wait_until_listening(self) -> None:
        binds = 1 if PEER else len(self.spec.binds)
        matches = self.log.wait_for(_LISTENING[PEER], count=binds)
        if PEER == "gunicorn":  # all of them on one line
            line = next(line for line in self.log.lines if b"Listening at" in line)
            urls = re.findall(rb"((?:http://|unix:)[^\s,]+)", line)
        else:
            urls = [match[1].replace(b"unix ", b"unix:") for match in matches]
        self.addresses = [Address.parse(url.decode()) for url in urls]
        if not PEER:
            self.admin = Address.parse(self.log.wait_for(_ADMIN)[0][1].decode())

    def wait_until_ready(self) -> None:
        if self.admin is None:
            return  # a peer listens before its workers run; the first request waits for them
        admin = self.admin

        def ready() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server exited with {self.process.returncode}:\n{self.log}")
            return fetch(admin, "GET", "/ready").status == 200

        eventually(ready, "ready")

    @property
    def address(self) -> Address:
        return self.addresses[0]

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[int]:
        return [pid for pid in processes.children(self.pid) if not processes.is_zygote(pid)]

    def wait_exit(self) -> int:
        """Waits for an exit that somebody else caused; returns the exit code."""
        code = self.process.wait(PATIENCE)
        self._collector.join(PATIENCE)
        return code

    def terminate(self) -> int:
        """SIGTERM, as an init system does; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.wait_exit()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {PATIENCE:g} s after SIGTERM:\n{self.log}") from None

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._collector.join(PATIENCE)

    def stop(self) -> None:
        """Stops it, and asserts that it had been running and ended well."""
        if self.process.poll() is not None:
            self._collector.join(PATIENCE)
            raise AssertionError(f"the server had exited with {self.process.returncode}:\n{self.log}")
        workers = self.workers()
        code = self.terminate()
        if code != 0 and not PEER:
            raise AssertionError(f"exit code {code} after SIGTERM:\n{self.log}")
        left = [pid for pid in workers if processes.alive(pid)]
        if left:
            raise AssertionError(f"workers {left} outlived the server:\n{self.log}")
        for sign in (b"panic:", b"DATA RACE", b"fatal error:", b"goroutine "):
            if sign in self.log.since():
                raise AssertionError(f"{sign!r} in the log:\n{self.log}")
