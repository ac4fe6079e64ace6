"""The bench: what came in, and odd things going out."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from . import db

router = APIRouter()

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@router.post("/echo")
async def echo(request: Request) -> Response:
    media_type = request.headers.get("content-type", "application/octet-stream")
    return Response(await request.body(), media_type=media_type)


@router.api_route("/info", methods=METHODS)
@router.api_route("/info/{rest:path}", methods=METHODS)
async def info(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.scope["path"],
        "query": request.scope["query_string"].decode("latin-1"),
        "headers": [[name, value] for name, value in request.headers.items()],
        "remote_addr": request.client.host if request.client else None,
        "scheme": request.url.scheme,
        "host": request.headers.get("host"),
    }


def count(nonce: str) -> int:
    connection = db.connect()
    try:
        # RETURNING would need SQLite 3.35, newer than Python 3.9 does.
        connection.execute(
            "INSERT INTO nonces VALUES (?, 1) ON CONFLICT (nonce) DO UPDATE SET runs = runs + 1", (nonce,)
        )
        runs: int = connection.execute("SELECT runs FROM nonces WHERE nonce = ?", (nonce,)).fetchone()[0]
        return runs
    finally:
        connection.close()


@router.api_route("/nonce", methods=["GET", "POST"])
async def nonce(request: Request, pad: int = 0) -> dict[str, Any]:
    # The body is read whole first: a request that never arrived whole never counts.
    body = await request.body()
    value = request.headers.get("x-nonce") or request.query_params.get("nonce")
    if not value and body:
        value = json.loads(body)["nonce"]
    if not value:
        raise HTTPException(400, "no nonce in header, query or body")
    return {"nonce": value, "runs": await run_in_threadpool(count, value), "pad": "x" * pad}


@router.get("/nonces")
def nonces(database: db.Database, prefix: str = "") -> dict[str, int]:
    """How often each nonce with this prefix ran."""
    rows = database.execute("SELECT nonce, runs FROM nonces WHERE substr(nonce, 1, ?) = ?", (len(prefix), prefix))
    return {row["nonce"]: row["runs"] for row in rows}


@router.get("/cookies/set")
async def set_cookies(request: Request) -> JSONResponse:
    answer = JSONResponse({"set": list(request.query_params)})
    for name, value in request.query_params.items():
        answer.set_cookie(name, value, httponly=True, samesite="lax")
    return answer


@router.get("/cookies")
async def cookies(request: Request) -> dict[str, str]:
    return request.cookies


@router.get("/slow")
async def slow(ms: int = 100) -> dict[str, int]:
    await asyncio.sleep(ms / 1000)
    return {"slept_ms": ms}


@router.get("/large-header")
async def large_header(response: Response, bytes: int = 4096) -> dict[str, bool]:
    response.headers["X-Large"] = "h" * bytes
    return {"ok": True}


@router.get("/empty", status_code=204)
async def empty() -> None:
    return None


@router.get("/error")
async def error() -> None:
    raise RuntimeError("the till is broken")
