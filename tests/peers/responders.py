"""FastCGI responders that others wrote, with the same laboratory in each, for the upstream tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fronts import FileLog, Process, program
from harness.client import PATIENCE
from harness.server import REPOSITORY
from harness.waiting import eventually

LAB = Path(__file__).parent / "lab"
PROCESSES = 4


@dataclass
class Peer:
    """A running responder: how the gateway reaches it, and what it cannot do."""

    kind: str
    entry: dict[str, Any]  # of [[upstream]]
    prefix: str  # of the laboratory's paths
    process: Process
    log: FileLog
    params: dict[str, str] = field(default_factory=dict)  # of the entry

    def stop(self) -> None:
        # A responder's processes are in its group: those that wait for a file would outlive it.
        try:
            os.killpg(self.process.process.pid, signal.SIGTERM)
            self.process.process.wait(PATIENCE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        finally:
            try:
                os.killpg(self.process.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.process.wait()


def _start(command: list[str], folder: Path, socket: Path, env: dict[str, str] | None = None) -> Process:
    # A group of its own, without preexec_fn twice: setsid(1) execs when it leads no group.
    process = Process(["setsid", *command], folder, env or {})

    def listens() -> bool:
        if process.process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended with {process.process.returncode}:\n{process.log}")
        return socket.exists()

    eventually(listens, f"{command[0]} listens")
    return process


def php_fpm(folder: Path) -> Peer:
    """php-fpm with a fixed number of processes, without the machine's php.ini."""
    root, socket = folder / "www", folder / "s"
    root.mkdir()
    shutil.copy(LAB / "lab.php", root)
    (root / "photo.jpg").write_text("<?php echo 'the photo ran';")
    (root / "index.php").write_text("<?php echo 'index of ' . $_SERVER['SCRIPT_NAME'];")
    config = folder / "fpm.conf"
    user = "user = root\ngroup = root\n" if os.geteuid() == 0 else ""
    config.write_text(
        f"[global]\nerror_log = {folder}/fpm.log\ndaemonize = no\n"
        f"[www]\n{user}listen = {socket}\nlisten.mode = 0600\nping.path = /ping\n"
        f"pm = static\npm.max_children = {PROCESSES}\n"
        "php_admin_value[output_buffering] = 0\nphp_admin_value[upload_max_filesize] = 100M\n"
        "php_admin_value[post_max_size] = 100M\nphp_admin_value[memory_limit] = 256M\nphp_admin_flag[log_errors] = on\n"
        "php_admin_value[error_log] = \n"
    )
    command = [program("php-fpm8.2"), "--nodaemonize", "--allow-to-run-as-root", "--fpm-config", str(config)]
    process = _start(command, folder, socket)
    entry = {"root": str(root), "split": ".php", "address": f"unix:{socket}", "health": "/ping"}
    return Peer("php-fpm", entry, "/lab.php", process, FileLog(folder / "fpm.log"))


def fcgiwrap(folder: Path) -> Peer:
    """fcgiwrap, started by spawn-fcgi, with a CGI program."""
    root, socket = folder / "cgi", folder / "s"
    root.mkdir()
    script = root / "lab.cgi"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -u {LAB}/app.py\n")
    script.chmod(0o755)
    command = [
        program("spawn-fcgi"),
        "-n",
        "-s",
        str(socket),
        "-M",
        "0600",
        "--",
        program("fcgiwrap"),
        "-f",
        "-c",
        str(PROCESSES),
    ]
    process = _start(command, folder, socket)
    entry = {"root": str(root), "split": ".cgi", "index": "", "address": f"unix:{socket}"}
    # Without it parts of an answer are kept until 8 KiB are there.
    return Peer("fcgiwrap", entry, "/lab.cgi", process, process.log, {"NO_BUFFERING": "1"})


def flup(folder: Path) -> Peer:
    socket = folder / "s"
    process = _start([sys.executable, "-W", "ignore", str(LAB / "app.py"), str(socket)], folder, socket)
    return Peer("flup", {"address": f"unix:{socket}"}, "", process, process.log)


def go(folder: Path) -> Peer:
    """Go's net/http/fcgi."""
    binary, socket = folder / "gofcgi", folder / "s"
    subprocess.run([program("go"), "build", "-o", str(binary), "./tests/peers/lab/gofcgi"], cwd=REPOSITORY, check=True)
    process = _start([str(binary), str(socket)], folder, socket)
    return Peer("go", {"address": f"unix:{socket}"}, "", process, process.log)


def shim(folder: Path) -> Peer:
    """Our own responder."""
    socket = folder / "s"
    command = [
        sys.executable,
        "-m",
        "pyspeed",
        "--fastcgi",
        f"unix:{socket}",
        "app:application",
        "--app-dir",
        str(LAB),
        "--buffer-body",
        "16KiB",
    ]
    process = _start(command, folder, socket, {"PYTHONPATH": str(REPOSITORY / "pyshim")})
    return Peer("shim", {"address": f"unix:{socket}"}, "", process, process.log)


STARTS: dict[str, Callable[[Path], Peer]] = {
    "php-fpm": php_fpm,
    "fcgiwrap": fcgiwrap,
    "flup": flup,
    "go": go,
    "shim": shim,
}
