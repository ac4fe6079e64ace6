"""Two applications that speak JSON, one of Flask and one of FastAPI, with the same paths."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import AsyncIterator, Iterator

import fastapi
import fastapi.responses
import flask

ITEMS = [
    {"name": f"Käse {n} 😀", "price": n * 1.25, "big": 2**53 + n, "tags": ["a", "b"], "none": None} for n in range(50)
]
LINES = [b'{"n": %d, "name": "\\u00e9"}\n' % n for n in range(3)]

wsgi = flask.Flask(__name__)
seen: list[str] = []
taken = threading.Semaphore(0)  # how many lines a client of /lines has


@wsgi.get("/items")
def flask_items() -> flask.Response:
    return flask.Response(json.dumps(ITEMS, indent=1), mimetype="application/json")


@wsgi.get("/sorted")
def flask_sorted() -> flask.Response:
    return flask.jsonify({"b": 1, "a": 2})


@wsgi.get("/large")
def flask_large() -> flask.Response:
    return flask.Response(json.dumps(ITEMS * int(flask.request.args["times"])), mimetype="application/json")


@wsgi.post("/echo")
def flask_echo() -> flask.Response:
    answer = flask.Response(flask.request.get_data())
    for name, value in flask.request.args.items():
        answer.headers[name] = value
    return answer


@wsgi.post("/check")
def flask_check() -> flask.Response:
    body = flask.request.get_data()
    seen.append(flask.request.args["name"])
    return flask.Response(body, mimetype="application/octet-stream")


@wsgi.get("/seen")
def flask_seen() -> flask.Response:
    return flask.Response("\n".join(seen), mimetype="text/plain")


@wsgi.post("/taken")
def flask_taken() -> str:
    taken.release()
    return "ok"


@wsgi.get("/lines")
def flask_lines() -> flask.Response:
    def lines() -> Iterator[bytes]:
        for line in LINES:
            yield line
            taken.acquire()

    return flask.Response(lines(), mimetype="application/x-ndjson")


asgi = fastapi.FastAPI()


@functools.lru_cache
def at_hand() -> asyncio.Semaphore:
    """As taken; made on the loop that it is of (Python 3.9)."""
    return asyncio.Semaphore(0)


@asgi.api_route("/items", methods=["GET", "HEAD"])
def fastapi_items() -> fastapi.Response:
    return fastapi.Response(json.dumps(ITEMS, indent=1), media_type="application/json")


@asgi.get("/sorted")
def fastapi_sorted() -> dict[str, int]:
    return {"b": 1, "a": 2}


@asgi.get("/large")
def fastapi_large(times: int) -> fastapi.Response:
    return fastapi.Response(json.dumps(ITEMS * times), media_type="application/json")


@asgi.post("/echo")
async def fastapi_echo(request: fastapi.Request) -> fastapi.Response:
    return fastapi.Response(await request.body(), headers=dict(request.query_params))


@asgi.post("/check")
async def fastapi_check(request: fastapi.Request) -> fastapi.Response:
    seen.append(request.query_params["name"])
    return fastapi.Response(await request.body(), media_type="application/octet-stream")


@asgi.get("/seen")
async def fastapi_seen() -> fastapi.Response:
    return fastapi.Response("\n".join(seen), media_type="text/plain")


@asgi.post("/taken")
async def fastapi_taken() -> str:
    at_hand().release()
    return "ok"


@asgi.get("/lines")
async def fastapi_lines() -> fastapi.Response:
    async def lines() -> AsyncIterator[bytes]:
        for line in LINES:
            yield line
            await at_hand().acquire()

    return fastapi.responses.StreamingResponse(lines(), media_type="application/x-ndjson")
