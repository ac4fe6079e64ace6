"""Applications that break the rules of their interface in one request.

Rows 43 to 45 of the table of bad inputs: what the application sends. The worker
must live on, and the next request must be answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from harness.client import Response, request
from harness.wire import Data, FramingError, Head
from harness.zoo import Zoo

pytestmark = pytest.mark.pyspeed

Get = Callable[[str, str], Zoo]


def fetch_and_check_life(zoo: Zoo, target: str, method: str = "GET") -> Response:
    """The answer; the same workers must be there afterwards."""
    before = zoo.server.workers()
    with zoo.connect() as connection:
        answer = connection.request(method, target)
        if answer.head.closes:
            connection.expect_closed()
        else:
            assert connection.request("GET", "/ok").body == b"ok"
    assert zoo.get("/ok").body == b"ok"
    assert zoo.server.workers() == before, "a worker died of it"
    return answer


BEFORE_THE_HEAD = {
    "wsgi": [
        ("/at-once", "at once"),
        ("/after-start", "after the start"),
        ("/before-first", "before the first chunk"),
        ("/never-starts", "start_response"),
        ("/starts-twice", "start_response"),
        ("/system-exit", "an exit in a request"),
        ("/yields-str", "bytes"),
        ("/yields-int", "bytes"),
        ("/yields-none", "bytes"),
        ("/returns-none", "None"),
        ("/returns-int", "int"),
    ],
    "asgi": [
        ("/at-once", "at once"),
        ("/after-start", "after the start"),
        ("/never-starts", "(?i)response"),
        ("/starts-twice", r"http\.response\.start"),
        ("/system-exit", "an exit in a request"),
        ("/body-first", r"http\.response\.(body|start)"),
        ("/unknown-message", r"http\.response\.nonsense"),
        ("/no-type", "type"),
        ("/not-a-dict", "(?i)error"),
        ("/yields-str", "bytes"),
        ("/yields-int", "bytes|int"),
    ],
}


@pytest.mark.parametrize(
    ("interface", "path", "cause"),
    [(kind, *case) for kind, cases in BEFORE_THE_HEAD.items() for case in cases],
)
def test_failure_before_the_head_is_500(shared_zoo: Get, interface: str, path: str, cause: str) -> None:
    zoo = shared_zoo("failing", interface)
    mark = zoo.server.log.mark()
    answer = fetch_and_check_life(zoo, path)
    assert answer.status == 500
    assert b"Traceback" not in answer.body
    zoo.server.log.wait_for(cause, since=mark)


def test_failure_after_the_first_chunk_cuts_the_answer(start_zoo: Callable[..., Zoo], interface: str) -> None:
    """No clean end (RFC 9112 §8): the client must be able to tell."""
    zoo = start_zoo("failing", interface)
    with zoo.connect() as connection:
        connection.send(request("GET", "/after-first"))
        events = connection.events()
        head = next(events)
        assert isinstance(head, Head) and head.status == 200
        first = next(events)
        assert isinstance(first, Data) and first.data == b"first\n"
        zoo.open_gate()
        with pytest.raises(FramingError):
            list(events)
    zoo.server.log.wait_for("after the first chunk")
    assert zoo.get("/ok").body == b"ok"


def test_asgi_answer_that_never_ends_has_no_clean_end(shared_zoo: Get) -> None:
    """It is cut; or 500, where its head had not been sent yet."""
    zoo = shared_zoo("failing", "asgi")
    with zoo.connect() as connection:
        connection.send(request("GET", "/never-ends"))
        try:
            status = connection.read_response().status
        except FramingError:
            status = 0
    assert status in (0, 500)
    assert zoo.get("/ok").body == b"ok"


def test_failure_in_close_or_after_the_end(shared_zoo: Get, interface: str) -> None:
    """The answer was complete: the client gets it, the log the exception."""
    zoo = shared_zoo("failing", interface)
    mark = zoo.server.log.mark()
    with zoo.connect() as connection:
        answer = connection.request("GET", "/in-close")
    assert (answer.status, answer.body) == (200, b"done")
    zoo.server.log.wait_for(r"the close\(\) of the zoo", since=mark)
    assert zoo.get("/ok").body == b"ok"


def test_exc_info_replaces_the_head(shared_zoo: Get) -> None:
    answer = fetch_and_check_life(shared_zoo("failing", "wsgi"), "/exc-info")
    assert (answer.status, answer.body) == (503, b"replaced")


BAD_HEADS = [
    "/cr-lf",
    "/lf",
    "/cr",
    "/nul",
    "/esc",
    "/name-space",
    "/name-colon",
    "/name-cr-lf",
    "/name-8bit",
    "/name-empty",
    "/status-cr-lf",
    "/status-word",
    "/status-low",
    "/status-high",
    "/length-word",
    "/length-twice",
    "/length-negative",
]


@pytest.mark.parametrize("path", BAD_HEADS)
def test_43_bad_head_is_500(shared_zoo: Get, interface: str, path: str) -> None:
    """Nothing of it is sent, and the log has it on one line and escaped."""
    if interface == "asgi" and path == "/status-cr-lf":
        return  # an ASGI status is a number: there is nowhere to put it
    zoo = shared_zoo("headers", interface)
    mark = zoo.server.log.mark()
    answer = fetch_and_check_life(zoo, path)
    assert answer.status == 500
    raw = repr(answer.head.fields).encode() + answer.body
    assert b"evil-part" not in raw
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|^Set-Cookie", zoo.server.log.since(mark))


@pytest.mark.parametrize("byte", [*range(9), *range(10, 32), 127])
def test_43_control_bytes_in_a_value(shared_zoo: Get, interface: str, byte: int) -> None:
    answer = fetch_and_check_life(shared_zoo("headers", interface), f"/raw?a%{byte:02x}b")
    assert answer.status == 500
    assert not answer.head.get_all("x-a")


def test_43_good_heads_arrive_as_they_are(shared_zoo: Get, interface: str) -> None:
    zoo = shared_zoo("headers", interface)
    assert fetch_and_check_life(zoo, "/good-8bit").get("x-a") == "caf\xe9"
    assert fetch_and_check_life(zoo, "/good-empty").head.get_all("x-a") == [""]
    repeats = fetch_and_check_life(zoo, "/good-repeats").head
    assert (repeats.get_all("set-cookie"), repeats.get_all("x-a")) == (["a=1", "b=2"], ["1", "2"])
    own = fetch_and_check_life(zoo, "/date").head
    assert own.get_all("date") == ["Thu, 01 Jan 1970 00:00:00 GMT"]
    status = fetch_and_check_life(zoo, "/good-status").head
    assert (status.status, status.reason) in ((299, "Quite Fine"), (299, ""), (299, "Unknown"))


def test_43_hop_by_hop_fields_are_ours(shared_zoo: Get, interface: str) -> None:
    """PEP 3333 forbids them to applications; framing that is not ours must not go out."""
    answer = fetch_and_check_life(shared_zoo("headers", interface), "/hop-by-hop")
    if answer.status == 200:
        assert answer.body == b"body"
        assert not answer.head.get_all("keep-alive") and not answer.head.get_all("upgrade")
    else:
        assert answer.status == 500


def test_44_more_than_content_length(shared_zoo: Get, interface: str) -> None:
    """Never over-written: the next answer on the connection starts where this one said it ends."""
    zoo = shared_zoo("headers", interface)
    with zoo.connect() as connection:
        answer = connection.request("GET", "/length-short")
        if answer.status == 200:
            assert answer.body == b"body"
        else:
            assert answer.status == 500
        if answer.head.closes:
            connection.expect_closed()
        else:
            rest = connection.reader.buffer
            assert not rest, "bytes beyond Content-Length"
            connection.send_lenient(request("GET", "/ok"))
            try:
                assert connection.read_response().body == b"ok"
            except FramingError as error:
                assert "before a whole head: b''" in str(error), "closing is fine, other bytes are not"
    assert zoo.get("/ok").body == b"ok"


def test_44_less_than_content_length(shared_zoo: Get, interface: str) -> None:
    """The connection is closed behind what there is, so that the client notices."""
    zoo = shared_zoo("headers", interface)
    with zoo.connect() as connection:
        connection.send(request("GET", "/length-long"))
        try:
            assert connection.read_response().status == 500
        except FramingError as error:
            assert "bytes before the end of the body" in str(error)
    assert zoo.get("/ok").body == b"ok"


@pytest.mark.parametrize("path", ["/204-body", "/204-length", "/304-body", "/304-length"])
def test_44_body_where_none_may_be(shared_zoo: Get, interface: str, path: str) -> None:
    answer = fetch_and_check_life(shared_zoo("headers", interface), path)
    assert answer.status in (int(path[1:4]), 500)


@pytest.mark.parametrize("path", ["/good-8bit", "/large?fields=1&bytes=1", "/length-long"])
def test_44_head_has_no_body(shared_zoo: Get, interface: str, path: str) -> None:
    answer = fetch_and_check_life(shared_zoo("headers", interface), path, "HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("size", [1023, 1024, 1025, 2048, 4096, 8192, 16384, 65536])
def test_45_long_field(shared_zoo: Get, interface: str, size: int) -> None:
    answer = fetch_and_check_life(shared_zoo("headers", interface), f"/large?fields=1&bytes={size}")
    assert (answer.status, answer.head.get_all("set-cookie"), answer.body) == (200, ["c" * size], b"body")


@pytest.mark.parametrize(("fields", "size"), [(30, 10_000), (300, 1000), (1, 300_000)])
def test_45_head_of_300_kb(shared_zoo: Get, interface: str, fields: int, size: int) -> None:
    """Longer than one record: whole, or refused; never a part of it."""
    answer = fetch_and_check_life(shared_zoo("headers", interface), f"/large?fields={fields}&bytes={size}")
    if answer.status == 200:
        assert answer.head.get_all("set-cookie") == ["c" * size] * fields
        assert answer.body == b"body"
    else:
        assert answer.status in (500, 502)
