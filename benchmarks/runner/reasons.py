"""Why a peer may be ahead, as far as the designs tell. The report puts it beside each loss."""

from __future__ import annotations

import fnmatch

UNKNOWN = "not known yet"

# Globs of cell and peer, the first that fits. What the two designs make likely, not what a profile of this run showed.
REASONS: tuple[tuple[str, str, str], ...] = (
    (
        "*-c1",
        "*",
        "one request at a time: nothing to batch, so the second process costs two wake-ups per request",
    ),
    ("*-c8", "*", "few requests at a time: small batches, so the second process costs more wake-ups per request"),
    (
        "*sleep10",
        "*",
        "all wait for the same 10 ms, nobody fills the core; the rest is the hand-over from an inline start to threads",
    ),
    (
        "static-64k",
        "nginx-static",
        "wrk copies all it gets, and its core is full before either server's; static-64k-discarded has a lighter load",
    ),
    (
        "static-10m",
        "nginx-static",
        "wrk copies all it gets, and its core is full before either server's; static-10m-discarded has a lighter load",
    ),
    (
        "static-*-discarded",
        "nginx-static",
        "both hand over the kernel's pages; ours on goroutines, which a full client wakes more often than nginx's loop",
    ),
    (
        "static-cold-1000",
        "nginx-static",
        "the disk and the load are most of it, either server uses a twentieth of its core; ours has a goroutine a file",
    ),
    ("post-json*", "*", "a body crosses a second socket with its request, and the application is nearly nothing"),
    ("upload*", "*", "every body byte crosses a second socket, between edge and worker"),
    ("stream*", "*", "every part of an answer is a record of its own on its way through the edge"),
    ("sse*", "*", "every part of an answer is a record of its own on its way through the edge"),
    ("memory-*", "*", "the edge is a process of its own, which a server inside the Python process has not"),
    (
        "django-asgi-*",
        "*",
        "Django's hand-overs between its threads are most of the work; the rounds differ more than the servers do",
    ),
    (
        "*",
        "fastpysgi",
        "C inside the Python process: no second process, no access log, no metrics, no limits or timeouts by default",
    ),
    ("*", "bjoern", "C inside the Python process, one thread, no log, no metrics, no limits"),
    ("pipelined", "granian*", "Rust inside the Python process parses and answers a whole batch at once"),
    (
        "*-json",
        "*",
        "json.dumps is most of the work, and a body of kilobytes crosses a second socket; within the noise",
    ),
    (
        "json-list*",
        "*",
        "json.dumps is most of the work, and a body of kilobytes crosses a second socket; within the noise",
    ),
    (
        "*cpu1",
        "*",
        "the application is nearly all of the work; what the server adds is within the noise",
    ),
)


def reason(cell: str, peer: str) -> str:
    for cells, peers, text in REASONS:
        if fnmatch.fnmatchcase(cell, cells) and fnmatch.fnmatchcase(peer, peers):
            return text
    return UNKNOWN
