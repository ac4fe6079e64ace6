"""FastAPI: the same answer from a coroutine and from a function in a thread."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    return {"message": "Hello, World!"}


@app.get("/sync")
def hello_sync() -> dict[str, str]:
    return {"message": "Hello, World!"}
