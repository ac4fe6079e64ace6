"""Request parsing and response building as servers in Python do it."""

from __future__ import annotations

import email.parser
import importlib
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from . import inputs


def parsed(method: str, target: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """A request head in the form in which both sides are compared."""
    lines = [method, target, *(f"{name.lower()}: {value}" for name, value in fields)]
    return "\n".join(lines).encode("latin-1")


def text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def h11_parse(data: bytes) -> Callable[[], Any]:
    h11 = importlib.import_module("h11")

    def work() -> Any:
        # One per connection in a server; it cannot be used again before an answer was sent.
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        return connection.next_event()

    return work


class Collected:
    """What uvicorn's protocol keeps of httptools' callbacks."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_message_begin(self) -> None:
        self.url, self.headers = b"", []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


def httptools_parse(data: bytes) -> tuple[Callable[[], Any], Callable[[], bytes]]:
    collected = Collected()
    parser = importlib.import_module("httptools").HttpRequestParser(collected)

    def work() -> None:
        parser.feed_data(data)

    def canonical() -> bytes:
        work()
        method = parser.get_method().decode()
        return parsed(method, text(collected.url), [(text(n), text(v)) for n, v in collected.headers])

    return work, canonical


def gunicorn_parse(data: bytes, parser: str) -> Callable[[], Any]:
    config = importlib.import_module("gunicorn.config").Config()
    config.set("http_parser", parser)
    kind = importlib.import_module("gunicorn.http.parser").RequestParser

    def work() -> Any:
        return next(kind(config, iter([data]), ("127.0.0.1", 54321)))

    return work


def gunicorn_canonical(work: Callable[[], Any]) -> bytes:
    request = work()
    return parsed(request.method, request.uri, request.headers)


def answered(data: bytes) -> bytes:
    """An answer, reduced to what both sides were told to send."""
    head, _, body = data.partition(b"\r\n\r\n")
    status_line, _, fields = head.partition(b"\r\n")
    message = email.parser.BytesHeaderParser().parsebytes(fields + b"\r\n\r\n")
    status = status_line.split()[1].decode()
    lines = [status, *(f"{name.lower()}: {message[name]}" for name, _ in inputs.ANSWER_FIELDS)]
    return "\n".join(lines).encode() + b"\n" + body


def h11_answer() -> Callable[[], bytes]:
    h11 = importlib.import_module("h11")
    write_response = importlib.import_module("h11._writers").write_any_response
    fields = [(name.encode(), value.encode()) for name, value in inputs.ANSWER_FIELDS]

    def work() -> bytes:
        out: list[bytes] = []
        write_response(h11.Response(status_code=200, headers=fields, reason=b"OK"), out.append)
        out.append(inputs.ANSWER_BODY)
        return b"".join(out)

    return work


def uvicorn_answer() -> Callable[[], bytes]:
    """The loop of uvicorn's httptools protocol, with its tables; the method itself needs a running server."""
    module = importlib.import_module("uvicorn.protocols.http.httptools_impl")
    lines, bad_name, bad_value = module.STATUS_LINE, module.HEADER_RE, module.HEADER_VALUE_RE
    default = [(b"date", b"Mon, 23 Nov 2026 07:00:00 GMT"), (b"server", b"uvicorn")]
    fields = [(name.lower().encode(), value.encode()) for name, value in inputs.ANSWER_FIELDS]

    def work() -> bytes:
        content = [lines[200]]
        for name, value in default + list(fields):
            if bad_name.search(name) or bad_value.search(value):
                raise RuntimeError("Invalid HTTP header.")
            name = name.lower()
            if name == b"content-length":
                int(value.decode())
            content.extend([name, b": ", value, b"\r\n"])
        content.append(b"\r\n")
        return b"".join(content) + inputs.ANSWER_BODY

    return work


class Sink:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)


class Asked:
    """What gunicorn's Response asks of a request."""

    method = "GET"
    version = (1, 1)

    def should_close(self) -> bool:
        return False


def gunicorn_answer() -> Callable[[], bytes]:
    config = importlib.import_module("gunicorn.config").Config()
    response = importlib.import_module("gunicorn.http.wsgi").Response
    fields = list(inputs.ANSWER_FIELDS)

    def work() -> bytes:
        sink = Sink()
        each = response(Asked(), sink, config)
        each.start_response("200 OK", fields)(inputs.ANSWER_BODY)
        return b"".join(sink.sent)

    return work


def wsgiref_answer() -> Callable[[], bytes]:
    handler = importlib.import_module("wsgiref.handlers").SimpleHandler
    fields = list(inputs.ANSWER_FIELDS)

    def work() -> bytes:
        out = io.BytesIO()
        each = handler(io.BytesIO(), out, io.StringIO(), {"SERVER_PROTOCOL": "HTTP/1.1"})
        each.environ = each.base_env
        each.start_response("200 OK", fields)(inputs.ANSWER_BODY)
        return out.getvalue()

    return work


def ways(folder: Path) -> list[Any]:
    out: list[Any] = []
    for name in ("get", "browser"):
        data = (folder / f"{name}.http").read_bytes()
        h11 = h11_parse(data)

        def h11_canonical(work: Callable[[], Any] = h11) -> bytes:
            event = work()
            return parsed(text(event.method), text(event.target), [(text(n), text(v)) for n, v in event.headers])

        out.append(("parse request", name, "h11", h11, h11_canonical))
        out.append(("parse request", name, "httptools (C)", *httptools_parse(data)))
        for parser, label in (("python", "gunicorn, Python"), ("fast", "gunicorn, gunicorn_h1c (C)")):
            work = gunicorn_parse(data, parser)
            out.append(("parse request", name, label, work, lambda work=work: gunicorn_canonical(work)))
    for label, answer in (
        ("h11", h11_answer()),
        ("uvicorn, httptools", uvicorn_answer()),
        ("gunicorn", gunicorn_answer()),
        ("wsgiref", wsgiref_answer()),
    ):
        out.append(("build response", "hello", label, answer, lambda answer=answer: answered(answer())))
    return out
