"""Applications that the WSGI tests serve; each is named by the target ``wsgi_apps:NAME``."""

from __future__ import annotations

import contextvars
import io
import json
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List
from wsgiref.validate import validator

Environ = Dict[str, Any]
Start = Callable[..., Callable[[bytes], None]]

TEXT = [("Content-Type", "text/plain")]

# Threads take turns this often, in seconds, to find what they could do to each other.
if "PYSPEED_TEST_SWITCH" in os.environ:
    sys.setswitchinterval(float(os.environ["PYSPEED_TEST_SWITCH"]))


def echo(environ: Environ, start_response: Start) -> List[bytes]:
    """The environ as JSON, and the body that was read."""
    body = environ["wsgi.input"].read()
    shown = {k: v if isinstance(v, (str, int, bool)) else repr(v) for k, v in environ.items()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"environ": shown, "body": body.decode("latin-1")}).encode()]


def semantics(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """One behaviour per path."""
    behaviour: Iterable[bytes] = getattr(Semantics, environ["PATH_INFO"].lstrip("/"))(environ, start_response)
    return behaviour


class Closing:
    """An iterable that reports its close."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        print("closed", threading.current_thread() is threading.main_thread())


class Text(str):
    """A str that marshal does not know."""


class Semantics:
    """Behaviours of :func:`semantics`."""

    @staticmethod
    def one(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return [b"one"]

    @staticmethod
    def several(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return [b"a", b"", b"b", b"c"]

    @staticmethod
    def tuple_(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return (b"a", b"b")

    @staticmethod
    def empty(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("204 No Content", [])
        return []

    @staticmethod
    def empty_generator(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("304 Not Modified", [])
        return iter(())

    @staticmethod
    def generator(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        yield b""
        yield b"first"
        yield b""
        yield b"second"

    @staticmethod
    def late_start(environ: Environ, start_response: Start) -> Iterable[bytes]:
        yield b""
        start_response("200 OK", TEXT)
        yield b"late"

    @staticmethod
    def with_length(environ: Environ, start_response: Start) -> Iterable[bytes]:
        """As frameworks do it: one chunk from an iterable that is no list, its length announced."""
        start_response("200 OK", [*TEXT, ("content-LENGTH", "5")])
        return Closing([b"12345"])

    @staticmethod
    def written_with_length(environ: Environ, start_response: Start) -> Iterable[bytes]:
        write = start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        write(b"12345")
        return []

    @staticmethod
    def length_and_more(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        return Closing([b"", b"12345", b"", b"67"])

    @staticmethod
    def fails_behind_its_length(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        yield b"12345"
        raise ValueError("behind the end")

    @staticmethod
    def big_announced(environ: Environ, start_response: Start) -> Iterable[bytes]:
        size = int(environ["QUERY_STRING"])
        start_response("200 OK", [*TEXT, ("Content-Length", str(size))])
        return Closing([(b"0123456789abcdef" * (size // 16 + 1))[:size]])

    @staticmethod
    def too_long(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        yield b"123"
        yield b"4567"

    @staticmethod
    def writes(environ: Environ, start_response: Start) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"w1 ")
        write(b"w2 ")
        return [b"rest"]

    @staticmethod
    def twice(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return [b"x"]

    @staticmethod
    def recovers(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        try:
            raise KeyError("inside")
        except KeyError:
            start_response("500 Oops", TEXT, sys.exc_info())
        return [b"recovered"]

    @staticmethod
    def too_late_to_recover(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        yield b"begun"
        try:
            raise KeyError("too late")
        except KeyError:
            start_response("500 Oops", TEXT, sys.exc_info())

    @staticmethod
    def raises(environ: Environ, start_response: Start) -> Iterable[bytes]:
        raise ValueError("before the start")

    @staticmethod
    def raises_later(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", TEXT)

        def chunks() -> Iterator[bytes]:
            yield b"begun"
            raise ValueError("in the middle")

        return Closing(chunks())

    @staticmethod
    def exits(environ: Environ, start_response: Start) -> Iterable[bytes]:
        sys.exit(3)

    @staticmethod
    def never_starts(environ: Environ, start_response: Start) -> Iterable[bytes]:
        return [b"x"]

    @staticmethod
    def returns_str(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", TEXT)
        return "text"

    @staticmethod
    def returns_bytes(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", TEXT)
        return b"bytes"

    @staticmethod
    def returns_none(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", TEXT)

    @staticmethod
    def yields_str(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", TEXT)
        return ["text"]

    @staticmethod
    def odd_types(environ: Environ, start_response: Start) -> Any:
        start_response(Text("200 OK"), [(Text("X-One"), "1"), ["X-Two", Text("2")]])
        return [bytearray(b"array "), memoryview(b"view")]

    @staticmethod
    def bad_header(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [("X-One", Text("1")), ("X-Two", 2)])
        return [b"x"]

    @staticmethod
    def file(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        file = io.BytesIO(bytes(range(256)) * 2000)
        file.seek(256)
        return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]

    @staticmethod
    def prints(environ: Environ, start_response: Start) -> Iterable[bytes]:
        print("to standard output \udc80 \u20ac")
        environ["wsgi.errors"].write("to wsgi.errors\n")
        environ["wsgi.errors"].writelines(["line one\n", "line two\n"])
        environ["wsgi.errors"].flush()
        os.write(1, b"straight to the descriptor\n")
        start_response("200 OK", TEXT)
        return [b"printed"]

    @staticmethod
    def closes_everything(environ: Environ, start_response: Start) -> Iterable[bytes]:
        environ["wsgi.input"].close()
        environ["wsgi.errors"].close()
        environ.clear()
        start_response("200 OK", TEXT)
        return [b"closed"]

    @staticmethod
    def big_head(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("X-%d" % i, "v" * 1000) for i in range(200)])
        return [b"body"]

    @staticmethod
    def big(environ: Environ, start_response: Start) -> Iterable[bytes]:
        size = int(environ["QUERY_STRING"])
        start_response("200 OK", TEXT)
        return [(b"0123456789abcdef" * (size // 16 + 1))[:size]]

    @staticmethod
    def head_of(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", "1000000")])
        return (b"x" * 1000 for _ in range(1000))

    @staticmethod
    def thread_names(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return [str(threading.get_ident()).encode()]


validated = validator(semantics)


def validated_echo(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """wsgiref.validate over an application that reads its body."""

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        start_response("200 OK", TEXT)
        return [body or b"none"]

    return validator(app)(environ, start_response)


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
variable.set("from import")


def context(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Whether what a request sets is there in its call, iteration and close, and nowhere else."""
    before = variable.get()
    variable.set(environ["PATH_INFO"])
    start_response("200 OK", TEXT)
    if environ["QUERY_STRING"] == "list":
        return [before.encode()]

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield ("%s %s" % (before, variable.get())).encode()

        def close(self) -> None:
            print("close saw", variable.get())

    return Body()


def reading(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Reads the body in the way that the path says, and answers with what it read, as JSON."""
    source = environ["wsgi.input"]
    way = environ["PATH_INFO"].lstrip("/")
    result: Any
    if way == "read":
        result = [source.read(), source.read()]
    elif way == "sizes":
        result = []
        while True:
            data = source.read(1000)
            if not data:
                break
            result.append(data)
    elif way == "lines":
        result = [source.readline(), source.readline(3), *source]
    elif way == "readlines":
        result = source.readlines()
    elif way == "none":
        result = []
    elif way == "error":
        start_response("200 OK", TEXT)
        try:
            source.read()
        except OSError as error:
            print("input raised", type(error).__name__)
            raise
        result = []
    else:
        raise ValueError(way)
    start_response("200 OK", TEXT)
    if environ["QUERY_STRING"] == "digest":
        import hashlib

        return [hashlib.sha256(b"".join(result)).hexdigest().encode()]
    return [json.dumps([r.decode("latin-1") for r in result]).encode()]


class Gate:
    """Blocks requests until another one opens it: no sleeping in tests."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.events: Dict[str, threading.Event] = {}

    def __getitem__(self, name: str) -> threading.Event:
        with self.lock:
            return self.events.setdefault(name, threading.Event())


gates = Gate()
running = 0
most = 0
seen_threads: List[int] = []
count_lock = threading.Lock()


def blocking(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """``/wait?name`` blocks until ``/open?name``; ``/stream?name`` between two chunks; ``/busy?seconds`` computes."""
    global running, most
    way, name = environ["PATH_INFO"].lstrip("/"), environ["QUERY_STRING"]
    with count_lock:
        running += 1
        most = max(most, running)
        seen_threads.append(threading.get_ident())
    try:
        if way == "wait":
            sys.stdout.write("waiting %s\n" % name)
            gates[name].wait()
        elif way == "open":
            gates[name].set()
        elif way == "busy":
            end = time.monotonic() + float(name)
            while time.monotonic() < end:
                pass
        elif way == "sleep":
            time.sleep(float(name))
        elif way == "most":
            start_response("200 OK", TEXT)
            return [json.dumps([most, len(set(seen_threads)), len(seen_threads)]).encode()]
        elif way == "reset":
            most = 0
            seen_threads.clear()
        elif way == "stream":
            start_response("200 OK", TEXT)
            return slow_chunks(name)
        start_response("200 OK", TEXT)
        return [name.encode()]
    finally:
        with count_lock:
            running -= 1


def slow_chunks(name: str) -> Iterator[bytes]:
    try:
        yield b"first "
        yield b"and more "  # at once, so that it may wait for company
        sys.stdout.write("streaming %s\n" % name)
        gates[name].wait()
        yield b"second"
    finally:
        print("generator closed", name)


def endless(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Streams until the client leaves; ``/write`` by the write callable."""
    size = int(environ["QUERY_STRING"] or 1000)
    write = start_response("200 OK", TEXT)
    if environ["PATH_INFO"] == "/write":
        try:
            while True:
                write(b"w" * size)
        except OSError as error:
            print("write raised", type(error).__name__)
            raise

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield b"c" * size
        finally:
            print("endless closed")

    return chunks()


def mixed(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Whatever the path says, with the nonce of the query in the answer; counts how often each nonce ran."""
    way, nonce = environ["PATH_INFO"].lstrip("/"), environ["QUERY_STRING"]
    with count_lock:
        runs[nonce] = runs.get(nonce, 0) + 1
    if way == "runs":
        start_response("200 OK", TEXT)
        return [json.dumps(runs).encode()]
    headers = [*TEXT, ("X-Nonce", nonce)]
    body = nonce.encode() * 3
    if way == "sleep":
        time.sleep(0.012)
    elif way == "nap":
        time.sleep(0.002)
    elif way == "busy":
        end = time.monotonic() + 0.007
        while time.monotonic() < end:
            pass
    elif way == "body":
        body += environ["wsgi.input"].read()
    if way == "length":
        headers.append(("Content-Length", str(len(body))))
    start_response("200 OK", headers)
    if way == "stream":
        return (body[i : i + 1] for i in range(len(body)))
    if way == "length":
        return iter([body])
    if way == "big":
        return [body * 4000]
    return [body]


runs: Dict[str, int] = {}
