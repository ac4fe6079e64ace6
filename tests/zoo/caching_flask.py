"""A Flask application that answers as caching.py does."""

from __future__ import annotations

from caching import answer
from flask import Flask, Response, request

wsgi = Flask(__name__)


@wsgi.route("/<path:path>", methods=["GET", "POST", "PUT", "DELETE"])
def anything(path: str) -> Response:
    fields = {name.lower(): value for name, value in request.headers.items()}
    status, headers, body = answer(request.path, request.query_string.decode(), fields)
    response = Response(body, status)
    response.headers.clear()
    for name, value in headers:
        response.headers.add(name, value)
    return response
