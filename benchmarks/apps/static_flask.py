"""Flask's send_from_directory, over the folder that BENCH_FILES names."""

from __future__ import annotations

import os

from flask import Flask, Response, send_from_directory

app = Flask(__name__, static_folder=None)


@app.get("/static/<path:name>")
def file(name: str) -> Response:
    return send_from_directory(os.environ["BENCH_FILES"], name)
