"""nginx, in front of a Python server as people deploy it, or with files of its own; with its own fastest settings."""

from __future__ import annotations

import os
from pathlib import Path

from .place import Place

# What both configurations begin with.
COMMON = """\
{user}daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {work}/nginx-body;
    proxy_temp_path {work}/nginx-proxy;
    uwsgi_temp_path {work}/nginx-uwsgi;
    fastcgi_temp_path {work}/nginx-fastcgi;
    scgi_temp_path {work}/nginx-scgi;
"""

CONFIGURATION = (
    COMMON
    + """\
    client_max_body_size 0;
    client_body_buffer_size 2m;
    upstream python {{
        server unix:{socket} fail_timeout=0;
        {keepalive}
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
{location}
        }}
    }}
}}
"""
)

PASS = {
    "http": """\
            proxy_pass http://python;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;""",
    # What Debian's uwsgi_params has; the file itself may be missing.
    "uwsgi": """\
            uwsgi_pass python;
            uwsgi_param QUERY_STRING $query_string;
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param CONTENT_TYPE $content_type;
            uwsgi_param CONTENT_LENGTH $content_length;
            uwsgi_param REQUEST_URI $request_uri;
            uwsgi_param PATH_INFO $document_uri;
            uwsgi_param SERVER_PROTOCOL $server_protocol;
            uwsgi_param REQUEST_SCHEME $scheme;
            uwsgi_param REMOTE_ADDR $remote_addr;
            uwsgi_param REMOTE_PORT $remote_port;
            uwsgi_param SERVER_PORT $server_port;
            uwsgi_param SERVER_NAME $server_name;""",
}


# Files alone, with what nginx has to make that fast.
STATIC = (
    COMMON
    + """\
    sendfile on;
    tcp_nopush on;
    open_file_cache max=10000 inactive=60s;
    open_file_cache_valid 60s;
    open_file_cache_min_uses 1;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /static/ {{ alias {files}/; }}
    }}
}}
"""
)


def socket_path(place: Place) -> Path:
    return place.work / "upstream.sock"


def static_command(place: Place, port: int) -> list[str]:
    """As `command`, for an nginx that serves files itself."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    text = STATIC.format(user=user, work=place.work, port=port, files=place.files)
    return _write(place, text)


def configuration(work: Path, socket: Path, port: int, upstream: str) -> str:
    """nginx.conf. Connections to an HTTP upstream are kept; uWSGI's protocol has no keep-alive."""
    # Started by root, its worker would be nobody, who may not enter the work directory.
    user = "user root;\n" if os.geteuid() == 0 else ""
    keepalive = "keepalive 1024; keepalive_requests 1000000000;" if upstream == "http" else ""
    return CONFIGURATION.format(
        user=user, work=work, socket=socket, port=port, keepalive=keepalive, location=PASS[upstream]
    )


def command(place: Place, port: int, upstream: str) -> list[str]:
    """Writes nginx.conf into the work directory, and returns the command that uses it."""
    return _write(place, configuration(place.work, socket_path(place), port, upstream))


def _write(place: Place, text: str) -> list[str]:
    path = place.work / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    return ["nginx", "-p", str(place.work), "-c", str(path), "-e", "stderr"]
