"""The cells: which application under which load, and who is asked to serve it."""

from __future__ import annotations

from .cell import RECORDS, Cell
from .files import SIZES, content

FASTAPI_HELLO = b'{"message":"Hello, World!"}'
EVENTS = b"".join(b'id: %d\ndata: {"price": %d, "symbol": "ABC"}\n\n' % (n, n * 7) for n in range(20))
CHUNKS = bytes(range(48, 112)) * 16 * 32

# Servers alone; the first two are those of --short.
WSGI = ("granian-wsgi", "gunicorn-gthread", "fastpysgi", "uwsgi-http", "waitress")
ASGI = ("granian-asgi", "uvicorn", "gunicorn-asgi", "hypercorn", "fastpysgi")
# As they are deployed.
WSGI_NGINX = ("nginx-gunicorn", "nginx-uwsgi")
ASGI_NGINX = ("nginx-uvicorn", "nginx-gunicorn-asgi")
WSGI_ALL = WSGI + WSGI_NGINX
ASGI_ALL = ASGI + ASGI_NGINX
# Where only the order of magnitude of the slower ones is of interest, they are left out.
WSGI_FEW = ("granian-wsgi", "gunicorn-gthread", "fastpysgi", "uwsgi-http")
ASGI_FEW = ("granian-asgi", "uvicorn", "fastpysgi")
SLEEPERS = ("granian-wsgi-64", "gunicorn-gthread-64", "waitress-64", "uwsgi-http-64")
MIXED = (
    *("granian-wsgi-default", "granian-wsgi-64", "gunicorn-sync", "gunicorn-gthread", "gunicorn-gthread-64"),
    *("waitress", "uwsgi-http", "nginx-gunicorn"),
)
# Those that could win, with their defaults and with as many threads as ours has.
MIXED_CPU = ("granian-wsgi-default", "granian-wsgi-64", "gunicorn-gthread", "gunicorn-gthread-64")
OVERLOADED = ("granian-wsgi", "gunicorn-gthread", "waitress", "nginx-gunicorn")
FLASK = ("granian-wsgi", "gunicorn-gthread", "uvicorn-wsgi", *WSGI[2:], *WSGI_NGINX)

POST = b'{"a": 1}'
MIB = bytes(1 << 20)

HELLO_CELLS = (
    Cell(
        "hello-wsgi",
        "hello_wsgi:app",
        "wsgi",
        64,
        (*WSGI, "bjoern", *WSGI_NGINX),
        main=True,
        what="The server alone, bare WSGI.",
    ),
    Cell("hello-wsgi-c1", "hello_wsgi:app", "wsgi", 1, WSGI_ALL, series="hello-wsgi-few"),
    Cell("hello-wsgi-c8", "hello_wsgi:app", "wsgi", 8, WSGI_ALL, series="hello-wsgi-few"),
    Cell("hello-wsgi-c256", "hello_wsgi:app", "wsgi", 256, WSGI_ALL, series="hello-wsgi-many"),
    Cell("hello-wsgi-c1000", "hello_wsgi:app", "wsgi", 1000, WSGI_ALL, series="hello-wsgi-many", least_seconds=2.0),
    Cell("hello-asgi", "hello_asgi:app", "asgi", 64, ASGI_ALL, main=True, what="The server alone, bare ASGI."),
    Cell("hello-asgi-c1", "hello_asgi:app", "asgi", 1, ASGI_ALL, series="hello-asgi-few"),
    Cell("hello-asgi-c8", "hello_asgi:app", "asgi", 8, ASGI_ALL, series="hello-asgi-few"),
    Cell("hello-asgi-c256", "hello_asgi:app", "asgi", 256, ASGI_ALL, series="hello-asgi-many"),
    Cell("hello-asgi-c1000", "hello_asgi:app", "asgi", 1000, ASGI_ALL, series="hello-asgi-many", least_seconds=2.0),
)

# The hello and the list of 50 records of one framework are one series.
FRAMEWORK_CELLS = (
    Cell("flask-hello", "flask_app:app", "wsgi", 64, FLASK, main=True, series="flask"),
    Cell("flask-json", "flask_app:app", "wsgi", 64, FLASK, path="/json", expect_json=RECORDS, series="flask"),
    Cell("django-wsgi-hello", "django_app:app", "wsgi", 64, WSGI_ALL, series="django-wsgi"),
    Cell(
        "django-wsgi-json",
        "django_app:app",
        "wsgi",
        64,
        WSGI_ALL,
        path="/json",
        expect_json=RECORDS,
        series="django-wsgi",
    ),
    Cell("django-asgi-hello", "django_app:asgi_app", "asgi", 64, ASGI_ALL, series="django-asgi"),
    Cell(
        "django-asgi-json",
        "django_app:asgi_app",
        "asgi",
        64,
        ASGI_ALL,
        path="/json",
        expect_json=RECORDS,
        series="django-asgi",
    ),
    Cell("bottle-hello", "bottle_app:app", "wsgi", 64, WSGI_ALL, series="bottle"),
    Cell("bottle-json", "bottle_app:app", "wsgi", 64, WSGI_ALL, path="/json", expect_json=RECORDS, series="bottle"),
    Cell("pyramid-hello", "pyramid_app:app", "wsgi", 64, WSGI_ALL, series="pyramid"),
    Cell("pyramid-json", "pyramid_app:app", "wsgi", 64, WSGI_ALL, path="/json", expect_json=RECORDS, series="pyramid"),
    Cell("tornado-hello", "tornado_app:app", "tornado", 64, ("tornado-httpserver", "nginx-tornado"), series="tornado"),
    Cell(
        "tornado-json",
        "tornado_app:app",
        "tornado",
        64,
        ("tornado-httpserver", "nginx-tornado"),
        path="/json",
        expect_json=RECORDS,
        series="tornado",
    ),
    Cell("starlette-hello", "starlette_app:app", "asgi", 64, ASGI_ALL, series="starlette"),
    Cell(
        "starlette-json",
        "starlette_app:app",
        "asgi",
        64,
        ASGI_ALL,
        path="/json",
        expect_json=RECORDS,
        series="starlette",
    ),
    Cell("fastapi-hello", "fastapi_app:app", "asgi", 64, ASGI_ALL, expect=FASTAPI_HELLO, main=True, series="fastapi"),
    Cell("fastapi-json", "fastapi_app:app", "asgi", 64, ASGI_ALL, path="/json", expect_json=RECORDS, series="fastapi"),
    Cell("json-list", "json_wsgi:app", "wsgi", 64, WSGI_ALL, expect_json=RECORDS, what="Bare WSGI, 50 records."),
    Cell("json-list-asgi", "json_asgi:app", "asgi", 64, ASGI_ALL, expect_json=RECORDS, what="Bare ASGI, 50 records."),
)

# What json.accelerate makes of applications as they are; beside ourselves without it.
ACCELERATE_CELLS = (
    Cell(
        "flask-json-accelerate",
        "flask_app:app",
        "wsgi",
        64,
        ("pyspeed-default", "granian-wsgi", "gunicorn-gthread"),
        path="/json",
        expect_json=RECORDS,
        options=("--json-accelerate",),
        what="50 records by Flask's jsonify, which orjson writes.",
    ),
    Cell(
        "fastapi-json-accelerate",
        "fastapi_app:app",
        "asgi",
        64,
        ("pyspeed-default", "uvicorn", "granian-asgi", "gunicorn-asgi"),
        path="/untyped",
        expect_json=RECORDS,
        options=("--json-accelerate",),
        what="50 records from an endpoint that does not say what it returns, which orjson writes.",
    ),
)

SHAPE_CELLS = (
    Cell("flask-mix", "flask_app:app", "wsgi", 64, FLASK[:4], script="get_mix.lua"),
    Cell("fastapi-sync", "fastapi_app:app", "asgi", 64, ASGI, path="/sync", expect=FASTAPI_HELLO),
    Cell("wsgi-browser-headers", "hello_wsgi:app", "wsgi", 64, WSGI_ALL, script="browser.lua"),
    Cell("asgi-browser-headers", "hello_asgi:app", "asgi", 64, ASGI_ALL, script="browser.lua"),
    Cell(
        "wsgi-cookies",
        "cookies_wsgi:app",
        "wsgi",
        64,
        WSGI_FEW,
        script="browser.lua",
        what="Six cookies read by the standard library, two set.",
    ),
    Cell("post-json", "echo_wsgi:app", "wsgi", 64, WSGI_ALL, script="post_json.lua", body=POST, expect=POST),
    Cell("post-json-asgi", "echo_asgi:app", "asgi", 64, ASGI_ALL, script="post_json.lua", body=POST, expect=POST),
    Cell(
        "upload",
        "echo_wsgi:app",
        "wsgi",
        16,
        WSGI_ALL,
        script="upload.lua",
        path="/length",
        body=MIB,
        expect=b"1048576",
    ),
    Cell(
        "upload-asgi",
        "echo_asgi:app",
        "asgi",
        16,
        ASGI_ALL,
        script="upload.lua",
        path="/length",
        body=MIB,
        expect=b"1048576",
    ),
    Cell("stream-wsgi", "stream_wsgi:app", "wsgi", 64, WSGI_ALL, expect=CHUNKS, series="stream-wsgi"),
    Cell("sse-wsgi", "stream_wsgi:app", "wsgi", 64, WSGI_ALL, path="/events", expect=EVENTS, series="stream-wsgi"),
    Cell("stream-asgi", "stream_asgi:app", "asgi", 64, ASGI_ALL, expect=CHUNKS, series="stream-asgi"),
    Cell("sse-asgi", "stream_asgi:app", "asgi", 64, ASGI_ALL, path="/events", expect=EVENTS, series="stream-asgi"),
    Cell(
        "pipelined",
        "hello_wsgi:app",
        "wsgi",
        64,
        ("granian-wsgi-pipeline", "gunicorn-gthread", "fastpysgi"),
        script="pipelined.lua",
        # wrk takes the time between two answers for the expected latency, and here 16 answers come together.
        latency=False,
    ),
)

WORK_CELLS = (
    Cell("wsgi-sleep10", "sleep_wsgi:app", "wsgi", 64, SLEEPERS, expect=b"slept", main=True),
    Cell("asgi-sleep10", "sleep_asgi:app", "asgi", 64, ASGI_ALL, expect=b"slept"),
    Cell("wsgi-cpu1", "cpu_wsgi:app", "wsgi", 64, WSGI_ALL, expect=b"09715648", what="About 1 ms of Python."),
    Cell("asgi-cpu1", "cpu_asgi:app", "asgi", 64, ASGI_ALL, expect=b"09715648", what="About 1 ms of Python."),
    Cell(
        "mixed-wsgi",
        "mixed_wsgi:app",
        "wsgi",
        40,
        MIXED,
        script="mixed.lua",
        workers=2,
        load_threads=40,
        wins="p99",
        least_seconds=4.0,
        what="One request of ten sleeps 500 ms, two workers with their defaults. Latencies: the short ones'.",
    ),
    Cell(
        "mixed-cpu-wsgi",
        "mixed_cpu_wsgi:app",
        "wsgi",
        40,
        MIXED_CPU,
        script="mixed.lua",
        workers=2,
        load_threads=40,
        patience=60,
        wins="p99",
        least_seconds=6.0,
        what="One request of ten computes for 500 ms, far more than there is time for. Latencies: the short ones'.",
    ),
    Cell(
        "overload-3x",
        "overload_wsgi:app",
        "wsgi",
        16,
        OVERLOADED,
        expect=b"computed",
        overload=3.0,
        options=("--queue-timeout", "1s"),
        wins="p99",
        least_seconds=8.0,
        what="Flask, 4 ms of CPU, three times as many requests as can be answered; goodput is the share that was.",
    ),
)

MEMORY_WSGI = ("granian-wsgi", "gunicorn-gthread", "uwsgi-http", "nginx-gunicorn")
MEMORY_ASGI = ("granian-asgi", "uvicorn", "gunicorn-asgi", "hypercorn", "nginx-uvicorn")
MEMORY_CELLS = tuple(
    Cell(name, app, interface, 64, peers, workers=workers, expect=expect, wins="pss", what="PSS of the whole tree.")
    for name, app, interface, peers, expect, workers in (
        ("memory-flask-w1", "flask_app:app", "wsgi", MEMORY_WSGI, b"Hello, World!", 1),
        ("memory-flask-w2", "flask_app:app", "wsgi", MEMORY_WSGI, b"Hello, World!", 2),
        ("memory-flask-w4", "flask_app:app", "wsgi", MEMORY_WSGI, b"Hello, World!", 4),
        ("memory-fastapi-w1", "fastapi_app:app", "asgi", MEMORY_ASGI, FASTAPI_HELLO, 1),
        ("memory-fastapi-w2", "fastapi_app:app", "asgi", MEMORY_ASGI, FASTAPI_HELLO, 2),
        ("memory-fastapi-w4", "fastapi_app:app", "asgi", MEMORY_ASGI, FASTAPI_HELLO, 4),
    )
)

PRELOAD_CELLS = tuple(
    Cell(
        name,
        app,
        interface,
        64,
        ("pyspeed-default", peer),
        workers=4,
        expect=expect,
        wins="pss",
        options=("--preload",),
        what="PSS of the whole tree, with the application imported once.",
    )
    for name, app, interface, peer, expect in (
        ("memory-flask-preload", "flask_app:app", "wsgi", "gunicorn-gthread-preload", b"Hello, World!"),
        ("memory-fastapi-preload", "fastapi_app:app", "asgi", "gunicorn-asgi-preload", FASTAPI_HELLO),
    )
)

DEVELOPMENT_CELLS = (
    Cell("flask-run", "flask_app:app", "wsgi", 64, ("flask-run",), what="Flask's development server."),
    Cell(
        "flask-run-shop",
        "wsgi:application",
        "wsgi",
        64,
        ("flask-run",),
        expect=None,
        directory="examples/flask_shop",
        what="The front page of the example shop: a template, and SQLite.",
    ),
    Cell(
        "django-runserver",
        "django_common_app:app",
        "wsgi",
        64,
        ("manage-runserver",),
        what="Django's development server.",
    ),
    Cell(
        "django-runserver-shop",
        "mysite.wsgi:application",
        "wsgi",
        64,
        ("manage-runserver",),
        expect=None,
        directory="examples/django_shop",
        what="The front page of the example shop: a template, and SQLite.",
    ),
)

# The lists of the cells with `json.accelerate`, kept for a minute by a route, and one of a FastAPI endpoint that
# declares its answer, which uvicorn serves seven times as fast; nobody else caches.
CACHE_CELLS = tuple(
    Cell(
        name,
        app,
        interface,
        64,
        (peer,),
        path=path,
        expect_json=RECORDS,
        options=("--cache", "--cache-route", f"{path}=1m"),
        what=f"50 records{of}, cached by ours.",
    )
    for name, app, interface, peer, path, of in (
        ("flask-list-cached", "flask_app:app", "wsgi", "flask-run", "/json", ""),
        ("fastapi-list-cached", "fastapi_app:app", "asgi", "uvicorn", "/untyped", ""),
        ("fastapi-typed-list-cached", "fastapi_app:app", "asgi", "uvicorn", "/json", " of a declared type"),
    )
)

STATIC = ("--static", "/static={files}")


def _static(
    name: str,
    file: str,
    connections: int,
    *peers: str,
    app: str = "static_starlette:app",
    load: str = "wrk",
    what: str,
) -> Cell:
    return Cell(
        name,
        app,
        "wsgi" if "flask" in app else "asgi",
        connections,
        peers,
        load=load,
        path=f"/static/{file}",
        expect=content(SIZES[file]),
        options=STATIC,
        files=True,
        what=what,
    )


STATIC_CELLS = (
    _static("static-1k", "1k.bin", 64, "nginx-static", what="A file of 1 KiB, from the gateway's memory."),
    _static("static-64k", "64k.bin", 64, "nginx-static", what="A file of 64 KiB."),
    _static("static-10m", "10m.bin", 16, "nginx-static", what="A file of 10 MiB."),
    # wrk's core is full before the server's where bodies are large.
    _static(
        "static-64k-discarded",
        "64k.bin",
        64,
        "nginx-static",
        load="discard",
        what="64 KiB, by a load that throws bodies away.",
    ),
    _static(
        "static-1m-discarded",
        "1m.bin",
        32,
        "nginx-static",
        load="discard",
        what="1 MiB, by a load that throws bodies away.",
    ),
    _static(
        "static-10m-discarded",
        "10m.bin",
        16,
        "nginx-static",
        load="discard",
        what="10 MiB, by a load that throws bodies away.",
    ),
    _static(
        "static-1k-starlette", "1k.bin", 64, "uvicorn", what="1 KiB; the peer serves it by Starlette's StaticFiles."
    ),
    _static(
        "static-1k-flask",
        "1k.bin",
        64,
        "gunicorn-gthread",
        "flask-run",
        app="static_flask:app",
        what="1 KiB; the peers serve it by Flask's send_from_directory.",
    ),
    Cell(
        "static-cold-1000",
        "static_starlette:app",
        "asgi",
        64,
        ("nginx-static",),
        script="cold.lua",
        path="/static/1k.bin",
        expect=content(SIZES["1k.bin"]),
        options=STATIC,
        files=True,
        cold=True,
        least_seconds=4.0,
        what="1,000 files from 300 bytes to 300 KB, each once, none of them in anybody's memory before.",
    ),
)

# What a look at each answer or request costs, beside ours without.
JSON_CELLS = (
    Cell(
        "json-list-reencoded",
        "json_wsgi:app",
        "wsgi",
        64,
        ("pyspeed-default", "granian-wsgi"),
        expect_json=RECORDS,
        options=("--json-reencode", "/"),
        what="50 records, written anew by ours: json.reencode.",
    ),
    Cell(
        "post-json-validated",
        "echo_wsgi:app",
        "wsgi",
        64,
        ("pyspeed-default", "granian-wsgi"),
        script="post_json.lua",
        body=POST,
        expect=POST,
        options=("--json-validate-requests", "/"),
        what="223 bytes of JSON, looked at by ours: json.validate_requests.",
    ),
)

# caddysnake has no wheel for the Python of the others: ours and granian run on the newer one too.
NEWER_CELLS = (
    Cell("newer-hello-wsgi", "hello_wsgi:app", "wsgi", 64, ("caddysnake-wsgi", "granian-wsgi"), environment="newer"),
    Cell("newer-hello-asgi", "hello_asgi:app", "asgi", 64, ("caddysnake-asgi", "granian-asgi"), environment="newer"),
    Cell(
        "newer-flask-hello",
        "flask_app:app",
        "wsgi",
        64,
        ("caddysnake-wsgi", "granian-wsgi"),
        environment="newer",
        series="newer-flask",
    ),
    Cell(
        "newer-flask-json",
        "flask_app:app",
        "wsgi",
        64,
        ("caddysnake-wsgi", "granian-wsgi"),
        path="/json",
        expect_json=RECORDS,
        environment="newer",
        series="newer-flask",
    ),
    Cell(
        "newer-fastapi-hello",
        "fastapi_app:app",
        "asgi",
        64,
        ("caddysnake-asgi", "granian-asgi"),
        expect=FASTAPI_HELLO,
        environment="newer",
        series="newer-fastapi",
    ),
    Cell(
        "newer-fastapi-json",
        "fastapi_app:app",
        "asgi",
        64,
        ("caddysnake-asgi", "granian-asgi"),
        path="/json",
        expect_json=RECORDS,
        environment="newer",
        series="newer-fastapi",
    ),
)

CELLS: tuple[Cell, ...] = (
    HELLO_CELLS
    + FRAMEWORK_CELLS
    + ACCELERATE_CELLS
    + SHAPE_CELLS
    + CACHE_CELLS
    + STATIC_CELLS
    + JSON_CELLS
    + WORK_CELLS
    + MEMORY_CELLS
    + PRELOAD_CELLS
    + DEVELOPMENT_CELLS
    + NEWER_CELLS
)

# What issue 4 says must be true of every framework's hello and JSON list.
FRAMEWORKS = ("hello-wsgi", "hello-asgi", *(cell.name for cell in FRAMEWORK_CELLS))
# Names of several cells, for --cells @NAME.
SETS = {
    "@frameworks": (*FRAMEWORKS, "flask-run"),
    "@static": tuple(cell.name for cell in STATIC_CELLS),
}
