from __future__ import annotations

import answers
from flask import Flask, jsonify, request

app = Flask(__name__)


@app.get("/returned/<name>")
def returned(name):
    return answers.answer(name)


@app.get("/made/<name>")
def made(name):
    return jsonify(answers.answer(name))


@app.post("/read")
def read():
    return repr(request.get_json()), 200, {"Content-Type": "text/plain"}
