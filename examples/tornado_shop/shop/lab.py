"""The bench: what came in, and odd things going out."""

from __future__ import annotations

import asyncio
from contextlib import closing

from tornado.escape import url_unescape
from tornado.web import HTTPError, url

from . import db
from .handler import Handler


class Echo(Handler):
    def post(self) -> None:
        self.set_header("Content-Type", self.request.headers.get("Content-Type", "application/octet-stream"))
        self.write(self.request.body)


class Info(Handler):
    def get(self, _rest: str | None = None) -> None:
        request = self.request
        self.answer(
            {
                "method": request.method,
                "path": url_unescape(request.path, plus=False),
                "query": request.query,
                "headers": [[name.lower(), value] for name, value in request.headers.get_all()],
                "remote_addr": request.remote_ip,
                "scheme": request.protocol,
                "host": request.host,
            }
        )

    head = post = put = patch = delete = options = get


def count(nonce: str) -> int:
    with closing(db.connect()) as connection:
        # RETURNING would need SQLite 3.35, newer than Python 3.9 does.
        connection.execute(
            "INSERT INTO nonces VALUES (?, 1) ON CONFLICT (nonce) DO UPDATE SET runs = runs + 1", (nonce,)
        )
        runs: int = connection.execute("SELECT runs FROM nonces WHERE nonce = ?", (nonce,)).fetchone()[0]
        return runs


class Nonce(Handler):
    async def get(self) -> None:
        nonce = self.request.headers.get("X-Nonce") or self.get_query_argument("nonce", "")
        if not nonce and self.request.body:
            nonce = self.json().get("nonce")
        if not nonce:
            raise HTTPError(400, "no nonce in header, query or body")
        pad = self.number("pad", 0)
        self.answer({"nonce": nonce, "runs": await self.off_loop(count, nonce), "pad": "x" * pad})

    post = get


class Nonces(Handler):
    async def get(self) -> None:
        """How often each nonce with this prefix ran."""
        prefix = self.get_query_argument("prefix", "")
        statement = "SELECT nonce, runs FROM nonces WHERE substr(nonce, 1, ?) = ?"
        found = await self.off_loop(db.rows, statement, len(prefix), prefix)
        self.answer({row["nonce"]: row["runs"] for row in found})


class SetCookies(Handler):
    def get(self) -> None:
        for name in self.request.query_arguments:
            self.set_cookie(name, self.get_query_argument(name), httponly=True, samesite="lax")
        self.answer({"set": list(self.request.query_arguments)})


class Cookies(Handler):
    def get(self) -> None:
        self.answer({name: morsel.value for name, morsel in self.cookies.items()})


class Slow(Handler):
    async def get(self) -> None:
        ms = self.number("ms", 100)
        await asyncio.sleep(ms / 1000)
        self.answer({"slept_ms": ms})


class LargeHeader(Handler):
    def get(self) -> None:
        self.set_header("X-Large", "h" * self.number("bytes", 4096))
        self.answer({"ok": True})


class Empty(Handler):
    def get(self) -> None:
        self.set_status(204)


class Error(Handler):
    def get(self) -> None:
        raise RuntimeError("the till is broken")


ROUTES = [
    url(r"/echo", Echo),
    url(r"/info(/.*)?", Info),
    url(r"/nonce", Nonce),
    url(r"/nonces", Nonces),
    url(r"/cookies/set", SetCookies),
    url(r"/cookies", Cookies),
    url(r"/slow", Slow),
    url(r"/large-header", LargeHeader),
    url(r"/empty", Empty),
    url(r"/error", Error),
]
