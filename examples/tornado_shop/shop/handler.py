"""What all handlers have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from tornado.escape import json_decode, url_unescape
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, RequestHandler

T = TypeVar("T")


class Handler(RequestHandler):
    def answer(self, value: Any) -> None:
        """Finishes with JSON; Tornado's own write() does so for dicts, with another charset."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))

    def number(self, name: str, default: int, least: int | None = None) -> int:
        try:
            number = int(self.get_query_argument(name, str(default)))
        except ValueError:
            raise HTTPError(400, f"{name} is no number") from None
        if least is not None and number < least:
            raise HTTPError(400, f"{name} is too small")
        return number

    def json(self) -> dict[str, Any]:
        try:
            value = json_decode(self.request.body)
        except ValueError:
            raise HTTPError(400, "the body is no JSON") from None
        if not isinstance(value, dict):
            raise HTTPError(400, "the body is no JSON object")
        return value

    async def off_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs what waits for the database on a thread: the event loop is everybody's."""
        return await IOLoop.current().run_in_executor(None, function, *arguments)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == 404:
            path = url_unescape(self.request.path, plus=False)
            self.answer({"error": "nothing is sold here", "path": path})
        else:
            self.answer({"error": self._reason})


class NotFound(Handler):
    def prepare(self) -> None:
        raise HTTPError(404)
