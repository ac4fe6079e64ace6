"""A small shop over SQLite, in Bottle."""

from __future__ import annotations

import json

from bottle import Bottle, HTTPError, request, response

from . import catalog, db, files, lab, orders


def not_found(_error: HTTPError) -> str:
    response.content_type = "application/json"
    return json.dumps({"error": "nothing is sold here", "path": request.path})


def create_app() -> Bottle:
    db.prepare()
    app = Bottle()
    for module in (catalog, files, lab, orders):
        app.merge(module.routes)
    app.error(404)(not_found)
    return app
