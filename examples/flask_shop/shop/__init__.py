"""A small shop over SQLite, in Flask."""

from __future__ import annotations

from typing import Any

from flask import Flask, jsonify, request
from werkzeug.exceptions import HTTPException

from . import catalog, db, files, lab, orders

MAX_UPLOAD = 50 * 1024 * 1024


def create_app() -> Flask:
    app = Flask(__name__)
    # The multipart frame around a file of the allowed size comes on top.
    app.config["MAX_CONTENT_LENGTH"] = MAX_UPLOAD + 64 * 1024

    db.prepare()
    app.teardown_appcontext(db.close)
    for module in (catalog, files, lab, orders):
        app.register_blueprint(module.bp)

    @app.errorhandler(404)
    def not_found(_error: HTTPException) -> tuple[Any, int]:
        return jsonify(error="nothing is sold here", path=request.path), 404

    return app
