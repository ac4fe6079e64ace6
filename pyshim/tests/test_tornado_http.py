"""A request and its answer, as a Tornado application sees them."""

from __future__ import annotations

import http.cookies
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgi_gateway import LOOPS, Answer, Worker

from pyspeed import records

HERE = Path(__file__).resolve().parent
UPGRADE = [
    (b"host", b"test"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
]


@pytest.fixture(scope="module", params=LOOPS)
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with Worker("tornado_apps:app", loop=request.param, interface="auto") as worker:
        yield worker


def field(answer: Answer, name: str) -> str:
    return "\n".join(value.decode("latin-1") for key, value in answer.headers if key.decode().lower() == name)


def show(worker: Worker, path: str = "/show", query: bytes = b"", **scope: object) -> dict[str, object]:
    shown: dict[str, object] = eval(worker.get(path, query, **scope).body)
    return shown


def test_small_answer_is_one_record(worker: Worker) -> None:
    answer = worker.get("/")
    assert (answer.status, answer.body, field(answer, "content-length")) == (200, b"Hello", "5")
    assert [(kind, flags) for kind, flags, _ in answer.records] == [(records.RESPONSE, records.LAST)]


def test_coroutine_and_body(worker: Worker) -> None:
    assert worker.get("/", method="POST", body=b"in and out").body == b"in and out"


def test_factory_is_detected() -> None:
    with Worker("tornado_apps:create_app()", interface="auto") as worker:
        assert worker.started["interface"] == "tornado"
        assert worker.get("/").body == b"Hello"


def test_what_the_handler_sees(worker: Worker) -> None:
    shown = show(
        worker,
        "/show/\u00e9",
        b"a=1&a=%20&b",
        raw_path=b"/show/%C3%A9",
        headers=[(b"host", b"shop.test:81"), (b"x-one", b"1"), (b"x-latin", b"caf\xe9"), (b"x-one", b"2")],
        client=("192.0.2.7", 1234),
        scheme="https",
    )
    assert shown == {
        "method": "GET",
        "uri": "/show/%C3%A9?a=1&a=%20&b",
        "path": "/show/%C3%A9",
        "query": "a=1&a=%20&b",
        "version": "HTTP/1.1",
        "remote_ip": "192.0.2.7",
        "protocol": "https",
        "host": "shop.test:81",
        "body": b"",
        "headers": [("Host", "shop.test:81"), ("X-Latin", "caf\xe9"), ("X-One", "1"), ("X-One", "2")],
        "cookies": [],
        "arguments": {"a": [b"1", b" "], "b": [b""]},
        "context": (("192.0.2.7", 1234), "192.0.2.7"),
        "family": socket.AF_INET,
    }


def test_client_on_a_unix_socket(worker: Worker) -> None:
    shown = show(worker, client=None)
    assert (shown["remote_ip"], shown["family"]) == ("0.0.0.0", socket.AF_UNIX)


def test_cookie_fields_are_joined(worker: Worker) -> None:
    shown = show(worker, headers=[(b"host", b"test"), (b"cookie", b"a=1; b=2"), (b"cookie", b"c=3")])
    assert shown["cookies"] == [("a", "1"), ("b", "2"), ("c", "3")]


def test_http_1_0_without_host(worker: Worker) -> None:
    shown = show(worker, http_version="1.0", headers=[])
    assert (shown["version"], shown["host"]) == ("HTTP/1.0", "127.0.0.1")


@pytest.mark.parametrize(("sent", "seen"), [(b"/shop/show", "/show"), (b"/shop/show/x", "/show/x")])
def test_root_path_is_taken_off(worker: Worker, sent: bytes, seen: str) -> None:
    assert show(worker, sent.decode(), root_path="/shop", raw_path=sent)["path"] == seen


def test_forms(worker: Worker) -> None:
    urlencoded = [(b"host", b"test"), (b"content-type", b"application/x-www-form-urlencoded")]
    assert worker.get("/form", method="POST", headers=urlencoded, body=b"a=1&a=2").body == b"[['1', '2'], []]"
    multipart = [(b"host", b"test"), (b"content-type", b"multipart/form-data; boundary=x")]
    body = b'--x\r\nContent-Disposition: form-data; name="f"; filename="g"\r\n\r\n\x00\xff\r\n--x--\r\n'
    assert worker.get("/form", method="POST", headers=multipart, body=body).body == rb"[[], [b'\x00\xff']]"


def test_head_is_get_without_body(worker: Worker) -> None:
    answer = worker.get("/", method="HEAD")
    assert (answer.status, answer.body, field(answer, "content-length")) == (200, b"", "5")


def test_status_without_body(worker: Worker) -> None:
    answer = worker.get("/nothing")
    assert (answer.status, answer.body, field(answer, "content-length")) == (204, b"", "")
    tag = field(worker.get("/"), "etag")
    answer = worker.get("/", headers=[(b"host", b"test"), (b"if-none-match", tag.encode())])
    assert (answer.status, answer.body, answer.end) == (304, b"", 0)


def test_redirect(worker: Worker) -> None:
    answer = worker.get("/away")
    assert (answer.status, field(answer, "location")) == (302, "/elsewhere")


def test_secure_cookies(worker: Worker) -> None:
    cookies = field(worker.get("/secure"), "set-cookie").split("\n")
    assert len(cookies) == 2
    jar: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
    for cookie in cookies:
        jar.load(cookie)
    assert jar["t"].value == "plain"
    back = b's="%s"' % jar["s"].value.encode()
    assert worker.get("/secure", method="POST", headers=[(b"host", b"t"), (b"cookie", back)]).body == b"sekret"


def test_errors_are_tornados_own(worker: Worker) -> None:
    answer = worker.get("/fails")
    assert answer.status == 500
    assert answer.body == (
        b"<html><title>500: Internal Server Error</title><body>500: Internal Server Error</body></html>"
    )
    assert "the till is broken" in worker.wait_log("the till is broken")
    assert worker.get("/teapot").status == 418
    assert worker.get("/no/such/page").status == 404
    assert worker.get("/", method="DELETE").status == 405
    worker.wait_log("404 GET /no/such/page (127.0.0.1)")


def test_static_files(worker: Worker) -> None:
    content = (HERE / "tornado_apps.py").read_bytes()
    path = "/static/tornado_apps.py"
    answer = worker.finish(worker.send(path, window=9))
    assert (answer.status, answer.body, field(answer, "accept-ranges")) == (200, content, "bytes")
    tag, modified = field(answer, "etag").encode(), field(answer, "last-modified").encode()
    for conditional in ((b"if-none-match", tag), (b"if-modified-since", modified)):
        assert worker.get(path, headers=[(b"host", b"t"), conditional]).status == 304
    answer = worker.get(path, headers=[(b"host", b"t"), (b"range", b"bytes=10-19")])
    assert (answer.status, answer.body) == (206, content[10:20])
    assert field(answer, "content-range") == f"bytes 10-19/{len(content)}"
    assert worker.get(path, headers=[(b"host", b"t"), (b"range", b"bytes=%d-" % len(content))]).status == 416
    answer = worker.get(path, method="HEAD")
    assert (answer.body, field(answer, "content-length")) == (b"", str(len(content)))


def test_content_length_that_is_wrong(worker: Worker) -> None:
    for path in ("/length", "/length_flushed"):
        assert worker.get(path, b"3,3").body == b"xxx"
        assert worker.get(path, b"3,4").end == records.APP_FAILED
        worker.wait_log("Tried to write more data than Content-Length")
        worker.log = b""
        assert worker.get(path, b"3,2").end == records.APP_FAILED
        worker.wait_log("Tried to write 1 bytes less than Content-Length")
        worker.log = b""
    answer = worker.get("/length", b"3,0", method="HEAD")
    assert answer.status == 405


def test_failure_after_a_flush_cuts_nothing_that_tornado_ends(worker: Worker) -> None:
    answer = worker.get("/fails_after_flush")
    assert (answer.status, answer.body) == (200, b"some")
    worker.wait_log("broken in the middle")


@pytest.mark.parametrize("path", ["/socket", "/detaches"])
def test_upgrade_is_refused(worker: Worker, path: str) -> None:
    answer = worker.get(path, headers=UPGRADE)
    assert (answer.status, answer.end) == (501, 0)
    assert b"not supported" in answer.body
    log = worker.wait_log(f"GET {path}: ")
    assert "answered 501" in log
    assert worker.get("/").body == b"Hello"
    assert b"socket: open" not in worker.log


def test_websocket_handler_without_an_upgrade(worker: Worker) -> None:
    assert worker.get("/socket").status == 400


def test_host_that_is_none(worker: Worker) -> None:
    """Tornado's own check, where it has one (since 6.5)."""
    answer = worker.get("/", headers=[(b"host", b"a,b")])
    assert (answer.status, answer.body, answer.end) == (400, b"400 Bad Request\n", 0)


def test_what_a_request_sets_is_its_own(worker: Worker) -> None:
    ids = {worker.send("/leaks", b"%d" % number): number for number in range(20)}
    for request_id, number in ids.items():
        assert worker.finish(request_id).body == b"unset,of %d" % number


def test_ioloop_is_the_loop_that_serves(worker: Worker) -> None:
    assert worker.get("/loops").body == b"spawned thread True %s" % worker.started["loop"].encode()


@pytest.mark.parametrize("loop", LOOPS)
def test_loop_is_the_one_of_the_import(loop: str) -> None:
    with Worker("tornado_loop_app:app", loop=loop, interface="auto") as worker:
        assert worker.get("/").body == b"True"


def test_many_at_once(worker: Worker) -> None:
    """Requests of one write, answered in one."""
    ids = [worker.send("/", method="POST", body=b"%d" % number) for number in range(200)]
    assert [worker.finish(request_id).body for request_id in ids] == [b"%d" % number for number in range(200)]
    assert worker.ask("stats")["active"] == 0


# Without handlers.


@pytest.fixture(scope="module")
def raw() -> Iterator[Worker]:
    with Worker("tornado_apps:raw", interface="auto") as worker:
        yield worker


def test_delegate_gets_its_calls_in_order(raw: Worker) -> None:
    assert raw.get("/", b"q", method="PUT", body=b"x" * 70000).body == b"PUT /?q HTTP/1.1 data 65536 data 4464"
    raw.wait_log("raw: on_close")


def test_router(raw: Worker) -> None:
    with Worker("tornado_apps:router", interface="tornado") as worker:
        assert worker.get("/raw/x").body == b"GET /raw/x HTTP/1.1"
        assert worker.get("/").body == b"Hello"


def test_early_hint(raw: Worker) -> None:
    answer = raw.get("/early_hint")
    assert answer.informational == [(103, [(b"Link", b"</style.css>")])]
    assert answer.status == 200


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/raises", "finish raises"),
        ("/exits", "SystemExit: 7"),
        ("/silent", "write_headers() comes first"),
        ("/evil", "Illegal characters"),
    ],
)
def test_delegate_that_fails(raw: Worker, path: str, logged: str) -> None:
    answer = raw.get(path)
    assert (answer.status, answer.end) == (None, records.APP_FAILED)
    raw.wait_log(logged)
    raw.wait_log("delegate: on_connection_close")
    assert raw.get("/").status == 200


@pytest.mark.parametrize(
    ("target", "interface", "error"),
    [
        ("container", "auto", "name the WSGI application inside it"),
        ("server", "auto", "pyspeed-gw is the server; name the application"),
        ("app", "asgi", "use interface tornado"),
        ("raw", "wsgi", "use interface tornado"),
        ("wsgi", "tornado", "neither a tornado.web.Application nor another"),
    ],
)
def test_what_cannot_be_served(target: str, interface: str, error: str) -> None:
    with Worker("tornado_apps:" + target, interface=interface) as worker:
        assert (worker.started["event"], worker.started["stage"]) == ("failed", "interface")
        assert error in worker.started["error"]
        assert worker.exit_code() == 3
