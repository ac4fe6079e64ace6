"""Flask with a page that takes 4 ms of CPU time: so slow that the load's process can ask for three times as many."""

from __future__ import annotations

import time

from flask import Flask

app = Flask(__name__)


@app.get("/")
def page() -> str:
    end = time.thread_time() + 0.004
    while time.thread_time() < end:
        pass
    return "computed"
