"""The application that the tests edit while browsers show it."""

import itertools
import os
import threading
from collections.abc import Iterator

import words
from flask import Flask, Response, render_template, request

app = Flask(__name__)
app.config["TEMPLATES_AUTO_RELOAD"] = True

told = threading.Condition()
events: list[str] = []


@app.get("/")
def index() -> str:
    return render_template("index.html", word=words.WORD, pid=os.getpid())


@app.get("/strict")
def strict() -> Response:
    answer = Response(render_template("plain.html", word=words.WORD))
    answer.headers["Content-Security-Policy"] = "default-src 'none'; img-src data:"
    return answer


@app.get("/nonce")
def nonce() -> Response:
    answer = Response(render_template("plain.html", word=words.WORD))
    answer.headers["Content-Security-Policy"] = (
        "default-src 'none'; img-src data:; script-src 'nonce-c2hvcA==' 'strict-dynamic'; connect-src 'self'"
    )
    return answer


@app.get("/kept")
def kept() -> Response:
    """One that the browser need not ask for again, for an hour."""
    answer = Response(render_template("plain.html", word=words.WORD))
    answer.headers["Cache-Control"] = "max-age=3600"
    answer.set_etag("always-the-same")
    return answer.make_conditional(request)


@app.get("/streamed")
def streamed() -> Response:
    return Response((f"<p>{part}" for part in ("<h1>", words.WORD, "</h1>", "</bo", "dy>")), mimetype="text/html")


@app.get("/frames")
def frames() -> str:
    return render_template("frames.html", word=words.WORD)


@app.route("/form", methods=["GET", "POST"])
def form() -> str:
    if request.method == "POST":
        with open(os.environ["POSTS"], "a", encoding="utf-8") as posts:
            posts.write("posted\n")
    return render_template("form.html", word=words.WORD, method=request.method)


@app.post("/tell")
def tell() -> str:
    with told:
        events.append(request.get_data(as_text=True))
        told.notify_all()
    return "told"


@app.get("/events")
def own_events() -> Response:
    def stream() -> Iterator[str]:
        for n in itertools.count():
            while True:
                with told:
                    if told.wait_for(lambda n=n: len(events) > n, timeout=0.1):
                        break
                yield ":\n\n"  # or nobody would notice that the browser has left
            yield f"data: {events[n]}\n\n"

    return Response(stream(), mimetype="text/event-stream")


@app.get("/listens")
def listens() -> str:
    return render_template("listens.html", word=words.WORD)
