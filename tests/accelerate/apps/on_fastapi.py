from __future__ import annotations

from typing import Any

import answers
from fastapi import Body, FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, PlainTextResponse

app = FastAPI()


@app.get("/returned/{name}")
async def returned(name: str):
    return answers.answer(name)


@app.get("/made/{name}")
def made(name: str):
    return JSONResponse(jsonable_encoder(answers.answer(name)))


@app.get("/raw/{name}")
async def raw(name: str):
    return JSONResponse(answers.answer(name))


@app.get("/typed/{name}")
async def typed(name: str) -> Any:
    return answers.answer(name)


@app.post("/read")
async def read(body: Any = Body()):  # noqa: B008
    return PlainTextResponse(repr(body))


@app.post("/request")
async def of_request(request: Request):
    return PlainTextResponse(repr(await request.json()))
