"""An application that keeps what the server gave it for one request, and uses it in the next."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

Environ = Dict[str, Any]
Start = Callable[..., Callable[[bytes], None]]

kept: List[Tuple[Start, Callable[[bytes], None], Any]] = []
shared: List[Tuple[str, str]] = []  # one list of header fields for all requests


def attempt(function: Callable[..., Any], *arguments: Any) -> str:
    try:
        return repr(function(*arguments))
    except (AssertionError, ValueError, OSError) as error:
        return "%s: %s" % (type(error).__name__, error)


def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
    path, own = environ["PATH_INFO"], environ["QUERY_STRING"]
    shared[:] = [("X-Own", own)]
    write = start_response("200 OK", shared)
    if path == "/reuse":
        # As the next request does, before this one's head is sent.
        shared[:] = [("X-Own", "another's")]
    if path == "/keep":
        kept.append((start_response, write, environ["wsgi.input"]))
    if path == "/keep-length":
        kept.append((start_response, write, environ["wsgi.input"]))
        shared.append(("Content-Length", "4"))
        start_response("200 OK", shared, (ValueError, ValueError(), None))
        return pieces()
    if path == "/misuse":
        start, old_write, old_input = kept.pop()
        attempts = [attempt(start, "200 OK", []), attempt(old_write, b"stale"), attempt(old_input.read)]
        return ["\n".join(attempts).encode()]
    return [b"kept"]


def pieces() -> Iterator[bytes]:
    yield b"ke"
    yield b"pt"
