"""The bytes that both sides work on."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

BROWSER_FIELDS = (
    ("Host", "shop.example"),
    ("Connection", "keep-alive"),
    ("Cache-Control", "max-age=0"),
    ("sec-ch-ua", '"Not/A)Brand";v="8", "Chromium";v="138", "Google Chrome";v="138"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Linux"'),
    ("Upgrade-Insecure-Requests", "1"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-User", "?1"),
    ("Sec-Fetch-Dest", "document"),
    ("Referer", "http://shop.example/catalogue/garden/tools?page=2&sort=price"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
    ("Cookie", "sessionid=" + "k3j9x0q2" * 4 + "; csrftoken=" + "Zr7Yp1Lm" * 8 + "; cart=" + "eyJpdGVtcyI6W10s" * 24),
)
PLAIN_FIELDS = (("Host", "127.0.0.1:8000"),)
ANSWER_FIELDS = (("Content-Type", "text/plain"), ("Content-Length", "13"))
ANSWER_BODY = b"Hello, World!"


def head(target: str, fields: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def environ() -> dict[str, str]:
    """What a FastCGI server passes on of the browser's request."""
    variables = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/items/17",
        "QUERY_STRING": "q=1",
        "REQUEST_URI": "/items/17?q=1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "54321",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    fields = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in BROWSER_FIELDS}
    return {**variables, **fields}


def record(kind: int, content: bytes) -> bytes:
    """A record of request 1 (FastCGI 1.0 §3.3)."""
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def pair(name: bytes, value: bytes) -> bytes:
    """A name-value pair (§3.4)."""
    lengths = [
        bytes([len(part)]) if len(part) < 128 else struct.pack("!I", len(part) | 1 << 31) for part in (name, value)
    ]
    return b"".join((*lengths, name, value))


def fastcgi_request() -> bytes:
    """BEGIN_REQUEST, PARAMS, and the ends of PARAMS and STDIN."""
    params = b"".join(pair(name.encode(), value.encode()) for name, value in environ().items())
    return record(1, b"\0\1\1\0\0\0\0\0") + record(4, params) + record(4, b"") + record(5, b"")


def items(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": n,
            "name": f"item {n}",
            "price": n * 1.25,
            "tags": ["a", "b\u00e9"],
            "active": n % 3 == 0,
            "note": None if n % 2 else 'say "hello"',
        }
        for n in range(count)
    ]


def json_values() -> dict[str, Any]:
    return {"small": items(1)[0], "items5000": items(5000)}


def write(folder: Path) -> None:
    """One file per input; the names are those that components/main.go knows."""
    (folder / "get.http").write_bytes(head("/", PLAIN_FIELDS))
    (folder / "browser.http").write_bytes(head("/items/17?q=1", BROWSER_FIELDS))
    (folder / "request.fcgi").write_bytes(fastcgi_request())
    (folder / "environ.txt").write_text("".join(f"{n}={v}\n" for n, v in environ().items()), encoding="utf-8")
    for name, value in json_values().items():
        # As json.dumps writes it, spaces and all: what an edge gets from an application.
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="ascii")
