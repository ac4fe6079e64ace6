"""The web servers that stand in front of our responder: their configuration, started and stopped.

Each is an ordinary process of this test, with its files in a folder of its own and a port that was free. The
configurations are those of ``docs/fastcgi.md``, with the limits raised that a test goes beyond.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.client import Address, Connection, Response, fetch
from harness.processes import die_with_parent
from harness.server import REPOSITORY, Log
from harness.waiting import eventually

APT = "nginx-light lighttpd apache2 libfcgi-bin spawn-fcgi"
PATIENCE = 30.0


def program(name: str) -> str:
    """Where a program is; without it the test fails."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail(f"{name} is not installed; Debian: apt-get install --no-install-recommends {APT}")
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class FileLog(Log):
    """A log that a server writes into a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def mark(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def since(self, mark: int = 0) -> bytes:
        return self.path.read_bytes()[mark:] if self.path.exists() else b""

    def expect(self, text: str, mark: int = 0) -> None:
        """Waits until the text is there."""
        eventually(lambda: text.encode() in self.since(mark), f"{text!r} in {self.path.name}")

    def __str__(self) -> str:
        return self.since().decode(errors="replace")


class Process:
    """A program that is ended with the test."""

    def __init__(self, command: list[str], folder: Path, env: Mapping[str, str] = {}) -> None:
        self.log = FileLog(folder / "output.log")
        with self.log.path.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()


class Responder(Process):
    """``python -m pyspeed --fastcgi``; options follow the target."""

    def __init__(
        self, target: str, *options: str, folder: Path, address: str = "127.0.0.1:0", env: Mapping[str, str] = {}
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.target = target
        command = [sys.executable, "-m", "pyspeed", "--fastcgi", address, target, *options]
        super().__init__(command, folder, {"PYTHONPATH": str(REPOSITORY / "pyshim"), "PYTHONUNBUFFERED": "1", **env})
        try:
            eventually(self._serves, f"{target} is served")
        except BaseException:
            self.process.kill()
            raise
        self.address = str(self.log).partition(" is served on ")[2].partition(",")[0]

    def _serves(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"the responder ended with {self.process.returncode}:\n{self.log}")
        return " is served on " in str(self.log)


@dataclass
class Front:
    """A running web server with a responder behind it."""

    kind: str  # nginx, lighttpd or apache
    name: str  # of the application
    address: Address
    responder: Responder
    log: FileLog  # its error log
    process: Process
    folder: Path

    def connect(self, *, receive_buffer: int = 0) -> Connection:
        return Connection(self.address, receive_buffer=receive_buffer)

    def get(self, target: str) -> Response:
        return fetch(self.address, "GET", target)

    def stop(self) -> None:
        self.process.stop()
        self.responder.stop()


def start(kind: str, name: str, responder: Responder, folder: Path) -> Front:
    """The web server, once it accepts connections."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = _STARTS[kind](folder, port, responder.address)
    log = FileLog(folder / "error.log")
    front = Front(kind, name, Address("127.0.0.1", port), responder, log, Process(command, folder), folder)

    def accepts() -> bool:
        if front.process.process.poll() is not None:
            pytest.fail(f"{kind} does not start:\n{front.process.log}\n{log}")
        front.address.connect().close()
        return True

    try:
        eventually(accepts, f"{kind} accepts connections")
    except BaseException:
        front.stop()
        raise
    return front


def _nginx(folder: Path, port: int, address: str) -> list[str]:
    for name in ("body", "fastcgi", "proxy", "scgi", "uwsgi"):
        (folder / name).mkdir()
    # A process of root's gives up its rights, and could then not write into this folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(f"""
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    client_max_body_size 100m;
    large_client_header_buffers 8 128k;
    merge_slashes off;
    upstream app {{ server {address}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        server_name _;
        location / {{
            include /etc/nginx/fastcgi_params;
            fastcgi_param HTTP_HOST $http_host;
            fastcgi_param HTTP_PROXY "";
            fastcgi_pass app;
            fastcgi_keep_conn on;
            fastcgi_buffering off;
            fastcgi_request_buffering off;
            fastcgi_buffer_size 128k;
            fastcgi_buffers 8 128k;
        }}
        # Without fastcgi_buffering nginx takes the end of the connection for that of the answer.
        location ~ ^/(raise_later|exit) {{
            include /etc/nginx/fastcgi_params;
            fastcgi_pass app;
            fastcgi_keep_conn on;
            fastcgi_buffering on;
        }}
    }}
}}
""")
    return [program("nginx"), "-c", f"{folder}/nginx.conf", "-p", str(folder), "-e", f"{folder}/error.log"]


def _lighttpd(folder: Path, port: int, address: str) -> list[str]:
    host, _, backend = address.rpartition(":")
    (folder / "uploads").mkdir()
    (folder / "lighttpd.conf").write_text(f"""
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{folder}/error.log"
server.upload-dirs = ( "{folder}/uploads" )
server.modules = ( "mod_fastcgi" )
server.max-request-field-size = 65535
server.stream-response-body = 2
$HTTP["querystring"] =~ "streamed" {{
    server.stream-request-body = 2
}}
server.http-parseopts = ( "url-ctrls-reject" => "disable", "url-path-2f-decode" => "disable",
                          "url-invalid-utf8-reject" => "disable" )
fastcgi.server = ( "/" => (( "host" => "{host}", "port" => {backend}, "check-local" => "disable",
                             "fix-root-scriptname" => "enable" )) )
""")
    return [program("lighttpd"), "-D", "-f", f"{folder}/lighttpd.conf"]


def _apache(folder: Path, port: int, address: str) -> list[str]:
    modules = "/usr/lib/apache2/modules"
    (folder / "apache.conf").write_text(f"""
ServerRoot "{folder}"
ServerName front.test
Listen 127.0.0.1:{port}
PidFile "{folder}/apache.pid"
Mutex posixsem
ErrorLog "{folder}/error.log"
LogLevel info
DocumentRoot "{folder}"
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_fcgi_module {modules}/mod_proxy_fcgi.so
LimitRequestFieldSize 131072
AllowEncodedSlashes NoDecode
MergeSlashes Off
{"User www-data" if os.geteuid() == 0 else ""}
{"Group www-data" if os.geteuid() == 0 else ""}
StartServers 1
ThreadsPerChild 25
ProxyTimeout 30
ProxyPass "/" "fcgi://{address}/" enablereuse=on flushpackets=on
""")
    return [program("apache2"), "-f", f"{folder}/apache.conf", "-DFOREGROUND"]


_STARTS = {"nginx": _nginx, "lighttpd": _lighttpd, "apache": _apache}
