"""PEP 3333 through a real worker process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest
from gateway import Worker, environ

from pyspeed import records

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker("wsgi_apps:semantics", HERE, interface="wsgi") as started:
        yield started


def test_ready_says_what_it_is(worker: Worker) -> None:
    assert worker.ready["interface"] == "wsgi"
    assert worker.ready["threads"] == 64
    assert worker.ready["python"].count(".") == 2


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/one", "200 OK", b"one"),
        ("/several", "200 OK", b"abc"),
        ("/tuple_", "200 OK", b"ab"),
        ("/empty", "204 No Content", b""),
        ("/empty_generator", "304 Not Modified", b""),
        ("/with_length", "200 OK", b"12345"),
        ("/written_with_length", "200 OK", b"12345"),
        ("/closes_everything", "200 OK", b"closed"),
        ("/recovers", "500 Oops", b"recovered"),
    ],
)
def test_answers_in_one_record(worker: Worker, path: str, status: str, body: bytes) -> None:
    answer = worker.get(path)
    assert (answer.status, answer.body) == (status, body)
    assert answer.kinds == [records.RESPONSE]
    assert answer.last


@pytest.mark.parametrize(
    ("path", "chunks"),
    [
        ("/generator", [b"first", b"second"]),
        ("/late_start", [b"late"]),
        ("/writes", [b"w1 ", b"w2 ", b"rest"]),
    ],
)
def test_chunks_go_out_as_they_are_made(worker: Worker, path: str, chunks: Any) -> None:
    answer = worker.get(path)
    assert answer.chunks == chunks
    assert answer.kinds == [records.RESPONSE, *[records.STDOUT] * (len(chunks) - 1), records.END_REQUEST]
    assert answer.app_status == records.APP_COMPLETE


@pytest.mark.parametrize(
    ("path", "log"),
    [
        ("/raises", "ValueError: before the start"),
        ("/exits", "SystemExit: 3"),
        ("/never_starts", "did not call start_response"),
        ("/returns_str", "returned str, not an iterable of bytes"),
        ("/returns_bytes", "returned bytes, not an iterable of bytes"),
        ("/returns_none", "'NoneType' object is not iterable"),
        ("/yields_str", "a chunk is str, not bytes"),
        ("/bad_header", "header 'X-Two' has the value 2; both must be str"),
        ("/twice", "start_response was called before"),
    ],
)
def test_failures_before_the_head(worker: Worker, path: str, log: str) -> None:
    answer = worker.get(path)
    assert (answer.status, answer.app_status) == (None, records.APP_FAILED)
    text = worker.wait_log(log)
    assert "GET %s failed" % path in text
    assert worker.get("/one").body == b"one"


def test_a_traceback_shows_the_application_only(worker: Worker) -> None:
    worker.get("/raises", query="only")
    part = worker.wait_log("/raises?only failed").partition("/raises?only failed")[2]
    first = part.split("File ", 2)[1]
    assert "wsgi_apps.py" in first


@pytest.mark.parametrize(
    ("path", "log"), [("/raises_later", "ValueError: in the middle"), ("/too_late_to_recover", "KeyError: 'too late'")]
)
def test_failures_after_the_head(worker: Worker, path: str, log: str) -> None:
    answer = worker.get(path)
    assert (answer.status, answer.body, answer.app_status) == ("200 OK", b"begun", records.APP_FAILED)
    worker.wait_log(log)


def test_close_is_called_after_a_failure_too(worker: Worker) -> None:
    before = worker.log().count("closed")
    worker.get("/raises_later")
    worker.get("/with_length")
    worker.wait(lambda: True, "")
    worker.get("/one")
    worker.wait_log("closed")
    assert worker.log().count("closed") >= before + 2


def test_more_than_content_length_is_not_sent(worker: Worker) -> None:
    answer = worker.get("/too_long")
    assert answer.body == b"12345"
    assert answer.app_status == records.APP_COMPLETE
    worker.wait_log("cannot send 2 more bytes")


@pytest.mark.parametrize(
    ("path", "log"),
    [("/length_and_more", "cannot send 2 more bytes"), ("/fails_behind_its_length", "ValueError: behind the end")],
)
def test_what_follows_a_complete_answer_is_logged(worker: Worker, path: str, log: str) -> None:
    answer = worker.get(path)
    assert (answer.body, answer.kinds, answer.last) == (b"12345", [records.RESPONSE], True)
    worker.wait_log(log)
    assert worker.get("/one").body == b"one"


def test_content_of_a_head_request_is_not_sent(worker: Worker) -> None:
    answer = worker.get("/with_length", method="HEAD")
    assert (answer.body, answer.app_status) == (b"", records.APP_COMPLETE)
    assert ("content-LENGTH", "5") in answer.headers


def test_odd_types_are_converted(worker: Worker) -> None:
    answer = worker.get("/odd_types")
    assert answer.status == "200 OK"
    assert [tuple(h) for h in answer.headers] == [("X-One", "1"), ("X-Two", "2")]
    assert answer.body == b"array view"


def test_head_sends_no_streamed_content(worker: Worker) -> None:
    answer = worker.get("/head_of", method="HEAD")
    assert (answer.status, answer.body, answer.app_status) == ("200 OK", b"", records.APP_COMPLETE)
    assert ("Content-Length", "1000000") in answer.headers


def test_file_wrapper(worker: Worker) -> None:
    answer = worker.get("/file")
    assert answer.body == bytes(range(256)) * 1999


def test_a_head_longer_than_a_record(worker: Worker) -> None:
    answer = worker.get("/big_head")
    assert len(answer.headers) == 200
    assert answer.body == b"body"
    assert answer.kinds[:4] == [records.RESPONSE] * 4


@pytest.mark.parametrize("size", [0, 1, 4000, 4096, 5000, 65400, 65535, 65536, 131072, 1000003])
@pytest.mark.parametrize("window", [0, 6, 15])
@pytest.mark.parametrize("path", ["/big", "/big_announced"])
def test_bodies_of_any_size(worker: Worker, path: str, size: int, window: int) -> None:
    request = worker.request(environ(path, query=str(size)), window=window)
    answer = worker.answer(request)
    assert answer.body == (b"0123456789abcdef" * (size // 16 + 1))[:size]
    assert answer.overrun == 0


def test_output_of_the_application(worker: Worker) -> None:
    assert worker.get("/prints").body == b"printed"
    log = worker.wait_log("straight to the descriptor")
    assert "to standard output \\udc80 \u20ac\n" in log
    assert "to wsgi.errors\nline one\nline two\n" in log


def test_what_the_environ_holds() -> None:
    with Worker("wsgi_apps:echo", HERE, multiprocess=True, threads=1) as worker:
        head = environ("/a b", "POST", "q=1", CONTENT_TYPE="text/plain", CONTENT_LENGTH="4")
        found = json.loads(worker.answer(worker.request(head, b"body")).body)
        assert found["body"] == "body"
        shown = found["environ"]
        assert {name: shown[name] for name in head} == head
        assert {
            name: shown[name]
            for name in (
                "SCRIPT_NAME",
                "SERVER_NAME",
                "SERVER_PORT",
                "SERVER_PROTOCOL",
                "SERVER_SOFTWARE",
                "wsgi.version",
                "wsgi.url_scheme",
                "wsgi.multithread",
                "wsgi.multiprocess",
                "wsgi.run_once",
                "wsgi.input_terminated",
            )
        } == {
            "SCRIPT_NAME": "",
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": "pyspeed/test",
            "wsgi.version": "(1, 0)",
            "wsgi.url_scheme": "http",
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }
        other = environ("/", **{"SERVER_PORT": "8443", "SERVER_PROTOCOL": "HTTP/1.0", "wsgi.url_scheme": "https"})
        shown = json.loads(worker.answer(worker.request(other)).body)["environ"]
        assert (shown["SERVER_PORT"], shown["SERVER_PROTOCOL"], shown["wsgi.url_scheme"]) == (
            "8443",
            "HTTP/1.0",
            "https",
        )
        shown = json.loads(worker.get("/").body)["environ"]
        assert (shown["SERVER_PORT"], shown["wsgi.url_scheme"]) == ("8000", "http")
        latin = environ("/\xfc\xff")
        assert json.loads(worker.answer(worker.request(latin)).body)["environ"]["PATH_INFO"] == "/\xfc\xff"


@pytest.mark.parametrize(
    ("path", "script_name", "path_info"),
    [
        ("/root", "/root", ""),
        ("/root/", "/root", "/"),
        ("/root/a", "/root", "/a"),
        ("/rootless", "/root", "/rootless"),
        ("/other", "/root", "/other"),
    ],
)
def test_root_path(root_worker: Worker, path: str, script_name: str, path_info: str) -> None:
    shown = json.loads(root_worker.get(path).body)["environ"]
    assert (shown["SCRIPT_NAME"], shown["PATH_INFO"], shown["REQUEST_URI"]) == (script_name, path_info, path)


@pytest.fixture(scope="module")
def root_worker() -> Iterator[Worker]:
    with Worker("wsgi_apps:echo", HERE, root_path="/root/") as started:
        yield started


@pytest.mark.parametrize("path", ["/one", "/several", "/generator", "/writes", "/with_length", "/file", "/empty"])
def test_wsgiref_finds_nothing(validated: Worker, path: str) -> None:
    answer = validated.get(path, SCRIPT_NAME="")
    assert answer.status is not None, validated.log()
    assert answer.app_status in (None, records.APP_COMPLETE), validated.log()


@pytest.fixture(scope="module")
def validated() -> Iterator[Worker]:
    with Worker("wsgi_apps:validated", HERE, interface="wsgi") as started:
        yield started
        assert "failed" not in started.log()


@pytest.mark.parametrize("body", [b"", b"x" * 5000])
@pytest.mark.parametrize("streamed", [False, True])
def test_wsgiref_finds_nothing_about_input(body: bytes, streamed: bool) -> None:
    with Worker("wsgi_apps:validated_echo", HERE) as worker:
        head = environ("/", "POST", CONTENT_LENGTH=str(len(body)))
        request = worker.request(head, None if streamed else body)
        if streamed:
            if body:
                worker.stdin(request, body)
            worker.stdin(request, b"")
        answer = worker.answer(request)
        assert answer.body == (body or b"none"), worker.log()
        assert answer.status == "200 OK", worker.log()


def test_each_request_has_its_own_context() -> None:
    with Worker("wsgi_apps:context", HERE) as worker:
        for query in ("list", "", "list", ""):
            body = worker.get("/mine", query=query).body
            assert body in (b"from import", b"from import /mine")
        worker.wait_log("close saw /mine")


def test_a_request_in_several_records(worker: Worker) -> None:
    request = worker.request(environ("/one", HTTP_X="y" * 100000))
    assert worker.answer(request).body == b"one"
    request = worker.request(environ("/one"), split=10)
    assert worker.answer(request).body == b"one"


def test_a_head_that_cannot_be_read_ends_that_request_only(worker: Worker) -> None:
    ok = worker.request(environ("/one"))
    with worker._changed:
        bad = worker._free.popleft()
        from gateway import Answer

        worker._answers[bad] = Answer(bad, 4096)
    worker.send(records.record(records.REQUEST, bad, b"\xff\xff", 0x60))
    assert worker.answer(bad).app_status == records.APP_FAILED
    assert worker.answer(ok).body == b"one"
    assert worker.get("/one").body == b"one"


def test_management_records(worker: Worker) -> None:
    worker.send(records.record(records.GET_VALUES, 0, records.pack_pairs({"FCGI_MAX_REQS": "", "PYSPEED_PROFILE": ""})))
    event = worker.event("management")
    assert event["kind"] == records.GET_VALUES_RESULT
    assert records.parse_pairs(event["content"]) == {"FCGI_MAX_REQS": "65535", "PYSPEED_PROFILE": "1"}
    worker.send(records.record(200, 0, b"abc"))
    event = worker.event("management")
    assert (event["kind"], event["content"]) == (records.UNKNOWN_TYPE, bytes([200]) + bytes(7))


def test_the_start_mark_is_set(worker: Worker) -> None:
    request = worker.request(environ("/one"))
    worker.answer(request)
    assert worker.marks[request] == 1
