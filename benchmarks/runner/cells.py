"""The cells: which application under which load, and who is asked to serve it."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "pyspeed"

HELLO = b"Hello, World!"
FASTAPI_HELLO = b'{"message":"Hello, World!"}'


@dataclass(frozen=True)
class Cell:
    """One comparison.

    `app` is MODULE:ATTRIBUTE in benchmarks/apps, `script` a file of
    benchmarks/wrk. `peers` are keys of `servers.COMMANDS`. Before each
    measurement the server must answer the probe (`path`, with `body` as a POST
    when it is not None) with 200 and exactly `expect`.
    """

    name: str
    app: str
    interface: str
    connections: int
    peers: tuple[str, ...]
    script: str = "get.lua"
    path: str = "/"
    body: bytes | None = None
    expect: bytes | None = HELLO
    latency: bool = True  # whether wrk's percentiles mean something
    main: bool = False  # part of --short

    @property
    def servers(self) -> tuple[str, ...]:
        return (OURS, *self.peers)


WSGI_PEERS = ("granian-wsgi", "gunicorn-gthread")
ASGI_PEERS = ("granian-asgi", "uvicorn")
FLASK_PEERS = ("granian-wsgi", "uvicorn-wsgi", "gunicorn-gthread")
FASTAPI_PEERS = ("granian-asgi", "uvicorn", "gunicorn-asgi")

CELLS: tuple[Cell, ...] = (
    Cell("hello-wsgi", "hello_wsgi:app", "wsgi", 64, WSGI_PEERS, main=True),
    Cell("hello-wsgi-c1", "hello_wsgi:app", "wsgi", 1, WSGI_PEERS),
    Cell("hello-wsgi-c8", "hello_wsgi:app", "wsgi", 8, WSGI_PEERS),
    Cell("hello-wsgi-c1000", "hello_wsgi:app", "wsgi", 1000, WSGI_PEERS),
    Cell("hello-asgi", "hello_asgi:app", "asgi", 64, ASGI_PEERS, main=True),
    Cell("hello-asgi-c1", "hello_asgi:app", "asgi", 1, ASGI_PEERS),
    Cell("hello-asgi-c8", "hello_asgi:app", "asgi", 8, ASGI_PEERS),
    Cell("flask-hello", "flask_app:app", "wsgi", 64, FLASK_PEERS, main=True),
    Cell("flask-mix", "flask_app:app", "wsgi", 64, FLASK_PEERS, script="get_mix.lua"),
    Cell("fastapi-hello", "fastapi_app:app", "asgi", 64, FASTAPI_PEERS, expect=FASTAPI_HELLO, main=True),
    Cell("fastapi-sync", "fastapi_app:app", "asgi", 64, FASTAPI_PEERS, path="/sync", expect=FASTAPI_HELLO),
    Cell(
        "wsgi-sleep10",
        "sleep_wsgi:app",
        "wsgi",
        64,
        ("granian-wsgi-64", "gunicorn-gthread-64"),
        expect=b"slept",
        main=True,
    ),
    Cell("wsgi-browser-headers", "hello_wsgi:app", "wsgi", 64, WSGI_PEERS, script="browser.lua"),
    Cell("json-list", "json_wsgi:app", "wsgi", 64, WSGI_PEERS, expect=None),
    Cell(
        "post-json",
        "echo_wsgi:app",
        "wsgi",
        64,
        WSGI_PEERS,
        script="post_json.lua",
        body=b'{"a": 1}',
        expect=b'{"a": 1}',
    ),
    Cell(
        "upload",
        "echo_wsgi:app",
        "wsgi",
        16,
        WSGI_PEERS,
        script="upload.lua",
        path="/length",
        body=bytes(1 << 20),
        expect=b"1048576",
    ),
    Cell(
        "pipelined",
        "hello_wsgi:app",
        "wsgi",
        64,
        ("granian-wsgi-pipeline", "gunicorn-gthread"),
        script="pipelined.lua",
        # wrk takes the time between two answers for the expected latency, and here 16 answers come together.
        latency=False,
    ),
)


def select(names: str | None, short: bool) -> list[Cell]:
    """The cells named in a comma-separated list, in that order; else all, or the main ones.

    Raises ValueError, with the names there are, for a name that is none.
    """
    if not names:
        return [cell for cell in CELLS if cell.main or not short]
    known = {cell.name: cell for cell in CELLS}
    chosen = []
    for name in (part.strip() for part in names.split(",")):
        if name not in known:
            raise ValueError(f"cannot run cell {name!r}: there is none of that name; there are {', '.join(known)}")
        chosen.append(known[name])
    return chosen
