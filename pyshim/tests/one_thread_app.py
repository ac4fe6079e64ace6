"""An application that breaks when any part of two requests overlaps: the call, the iteration, or close()."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, Dict, Iterator

open_now = 0  # from the call to the end of close(); no lock, as the application is not safe for threads
most = 0
count = 0
threads = set()


class Body:
    """Waits in every place where a server might be tempted to go on with something else."""

    def __init__(self, environ: Dict[str, Any], pieces: int, pause: float) -> None:
        self._input = environ["wsgi.input"]
        self._pieces = pieces
        self._pause = pause

    def __iter__(self) -> Iterator[bytes]:
        threads.add(threading.get_ident())
        yield b"%d " % len(self._input.read())
        for _ in range(self._pieces):
            time.sleep(self._pause)
            yield b"x" * 10000

    def close(self) -> None:
        global open_now
        threads.add(threading.get_ident())
        time.sleep(self._pause)
        open_now -= 1


def app(environ: Dict[str, Any], start_response: Any) -> Any:
    global open_now, most, count
    if environ["PATH_INFO"] == "/most":
        start_response("200 OK", [])
        return [json.dumps([most, len(threads), count, open_now]).encode()]
    count += 1
    open_now += 1
    most = max(most, open_now)
    threads.add(threading.get_ident())
    pieces, _, pause = environ["QUERY_STRING"].partition(",")
    try:
        time.sleep(float(pause))
        if environ["PATH_INFO"] == "/fails":
            raise LookupError("on purpose")
        start_response("200 OK", [])
    except LookupError:
        open_now -= 1
        raise
    return Body(environ, int(pieces), float(pause))
