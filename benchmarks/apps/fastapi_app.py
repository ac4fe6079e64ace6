"""FastAPI: the same answer from a coroutine and from a function in a thread; a JSON list, with its type and without."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from json_wsgi import RECORDS

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    return {"message": "Hello, World!"}


@app.get("/sync")
def hello_sync() -> dict[str, str]:
    return {"message": "Hello, World!"}


@app.get("/untyped")
async def untyped():  # type: ignore[no-untyped-def]
    return RECORDS


@app.get("/json")
async def as_json() -> list[dict[str, Any]]:
    return RECORDS
