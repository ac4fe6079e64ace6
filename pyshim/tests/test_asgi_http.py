"""One request at a time: scope, messages, their order, and applications that fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgi_apps import HEADER_FORMS
from asgi_gateway import LOOPS, Worker

from pyspeed import records

APPS = Path(__file__).with_name("asgi_apps.py")


@pytest.fixture(scope="module", params=LOOPS)
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with Worker(loop=request.param) as worker:
        yield worker


def test_small_answer_is_one_record(worker: Worker) -> None:
    answer = worker.get("/echo", body=b"hello")
    assert (answer.status, answer.headers, answer.body) == (200, [(b"content-length", b"5")], b"hello")
    assert [(kind, flags) for kind, flags, _ in answer.records] == [(records.RESPONSE, records.LAST)]


def test_scope(worker: Worker) -> None:
    answer = worker.get("/show_scope", b"a=1", root_path="/root", client=None, method="POST")
    scope: dict[str, Any] = eval(answer.body)
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/show_scope",
        "raw_path": b"/show_scope",
        "query_string": b"a=1",
        "root_path": "/root",
        "headers": [(b"host", b"test")],
        "client": None,
        "server": ("127.0.0.1", 8000),
        "state": {},
        "extensions": {"http.response.pathsend": {}, "http.response.early_hint": {}},
    }


def test_scope_of_one_request_is_not_anothers(worker: Worker) -> None:
    first = worker.get("/spoil_scope")
    assert worker.get("/spoil_scope").body == first.body
    assert b"spoiled" not in first.body


def test_context_variables_of_one_request_are_not_anothers(worker: Worker) -> None:
    assert worker.get("/context").body == b"unset"
    assert worker.get("/context").body == b"unset"


def test_application_runs_in_a_task(worker: Worker) -> None:
    assert worker.get("/current_task").body == b"True"


def test_start_mark_is_set(worker: Worker) -> None:
    request_id = worker.send("/echo")
    worker.finish(request_id)
    assert worker.marks[request_id] == 1
    assert worker.marks[request_id + 1] == 0


@pytest.mark.parametrize("form", HEADER_FORMS)
def test_header_forms(worker: Worker, form: str) -> None:
    answer = worker.get("/header_form", form.encode())

    def octets(text: Any) -> bytes:
        return text.encode() if isinstance(text, str) else bytes(text)

    assert answer.status == 201
    assert [(octets(name), octets(value)) for name, value in answer.headers] == [(b"x-a", b"1"), (b"x-b", b"2")]
    assert answer.body == b"ok"


def test_body_that_the_application_changes_afterwards(worker: Worker) -> None:
    assert worker.get("/bytearray_body").body == b"first second"


def test_early_hint_precedes_the_answer(worker: Worker) -> None:
    answer = worker.get("/early_hint")
    links = [(b"link", b"</style.css>; rel=preload"), (b"link", b"</app.js>; rel=preload")]
    assert answer.informational == [(103, links)]
    assert (answer.status, answer.body, answer.end) == (200, b"final", 0)


def test_pathsend(worker: Worker, tmp_path: Path) -> None:
    for size in (0, 1, 70000, 600000):
        path = tmp_path / str(size)
        path.write_bytes(bytes(range(250)) * (size // 250) + b"x" * (size % 250))
        request_id = worker.send("/pathsend", str(path).encode())
        answer = worker.answers[request_id]
        credited = 0
        while answer.end is None:
            worker.read()
            worker.credit(request_id, len(answer.body) - credited)
            credited = len(answer.body)
        assert answer.body == path.read_bytes()
        assert answer.end == 0


def test_pathsend_of_a_missing_file_fails(worker: Worker, tmp_path: Path) -> None:
    answer = worker.get("/pathsend", str(tmp_path / "missing").encode())
    assert (answer.status, answer.end) == (None, records.APP_FAILED)
    worker.wait_log("FileNotFoundError")


def test_middleware_with_tasks_of_its_own(worker: Worker) -> None:
    answer = worker.get("/middleware", body=b"through")
    assert answer.headers == [(b"content-length", b"7"), (b"x-middleware", b"1")]
    assert answer.body == b"through"


def test_synchronous_code_in_a_thread(worker: Worker) -> None:
    assert worker.get("/in_thread").status == 200


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("body first", "Expected ASGI message 'http.response.start', but got 'http.response.body'."),
        ("start twice", "Expected ASGI message 'http.response.body', but got 'http.response.start'."),
        ("after the end", "Unexpected ASGI message 'http.response.body' sent, after response already completed."),
        ("unknown type", "Expected ASGI message 'http.response.start', but got 'http.response.nonsense'."),
        ("early hint too late", "Expected ASGI message 'http.response.body', but got 'http.response.early_hint'."),
        ("informational start", "cannot start a response with status 103"),
    ],
)
def test_wrong_order_is_an_error(worker: Worker, order: str, said: str) -> None:
    answer = worker.get("/wrong_order", order.encode())
    worker.wait_log("order: " + said)
    if order == "after the end":
        assert (answer.status, answer.body, answer.end) == (200, b"ok", 0)
    else:
        assert (answer.status, answer.end) == (None, records.APP_FAILED)


@pytest.mark.parametrize(
    ("path", "status", "body", "end", "said"),
    [
        ("/raise_before", None, b"", records.APP_FAILED, "LookupError: raised before the start"),
        ("/raise_held", None, b"", records.APP_FAILED, "LookupError: raised after the start"),
        ("/raise_after", 200, b"some", records.APP_FAILED, "LookupError: raised in the body"),
        ("/raise_late", 200, b"complete", 0, "LookupError: raised after the end"),
        ("/raise_exit", None, b"", records.APP_FAILED, "SystemExit: 7"),
        ("/raise_cancelled", None, b"", records.APP_FAILED, "the request's task was cancelled"),
        ("/no_answer", None, b"", records.APP_FAILED, "returned without completing its response"),
        ("/half_answer", 200, b"half", records.APP_FAILED, "returned without completing its response"),
    ],
)
def test_application_fails(worker: Worker, path: str, status: Any, body: bytes, end: int, said: str) -> None:
    answer = worker.get(path)
    assert (answer.status, answer.body, answer.end) == (status, body, end)
    worker.wait_log(f"pyspeed: GET {path}: ")
    log = worker.wait_log(said)
    if path in ("/raise_before", "/raise_exit"):
        # The traceback begins in the application, not in the shim.
        assert f'{path}: exception in the ASGI application\nTraceback (most recent call last):\n  File "{APPS}"' in log
    assert worker.get("/echo", body=b"still there").body == b"still there"


def test_log_line_does_not_repeat_control_characters(worker: Worker) -> None:
    worker.get("/\x1b[31m\n\u202e/forged")
    log = worker.wait_log("forged: exception")
    assert "\x1b" not in log
    assert r"GET /\x1b[31m\n\u202e/forged: exception" in log


def test_embedded_body_of_more_than_a_record(worker: Worker) -> None:
    body = bytes(range(256)) * 800
    request_id = worker.send("/echo", body=body)
    assert worker.finish(request_id).body == body


def test_head_of_more_than_a_record(worker: Worker) -> None:
    for count in (64, 65, 200):
        answer = worker.get("/big_head", b"%d" % count)
        assert [name for name, _ in answer.headers] == [b"x-%d" % i for i in range(count)]
        assert (answer.body, answer.end) == (b"body", 0)


def test_request_id_is_free_while_a_background_task_runs(worker: Worker) -> None:
    assert worker.get("/background", request_id=900).body == b"answered"
    assert worker.get("/echo", body=b"next", request_id=900).body == b"next"
    worker.get("/set_event", b"background")
    worker.wait_log("background: done")
    worker.get("/echo")
    assert worker.ask("stats")["active"] == 0
