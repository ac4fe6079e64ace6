"""An application that imports Celery and runs a task where it is, without a broker."""

from celery import Celery
from flask import Flask

app = Flask(__name__)
celery = Celery("tasks", broker="memory://", backend="cache+memory://")
celery.conf.task_always_eager = True


@celery.task
def add(first: int, second: int) -> int:
    return first + second


@app.route("/add/<int:first>/<int:second>")
def index(first: int, second: int) -> str:
    return str(add.delay(first, second).get())
