"""Flask with its own static folder, a blueprint's, and variants whose folders are not only files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, abort, request

FILES = Path(os.environ["STATIC_AUTO"])


def make() -> Flask:
    app = Flask(__name__, static_folder=FILES / "own", static_url_path="/static")

    @app.get("/")
    def front() -> str:
        return "front"

    return app


def with_blueprint() -> Flask:
    app = make()
    shop = Blueprint("shop", __name__, url_prefix="/shop", static_folder=FILES / "shop", static_url_path="/assets")
    app.register_blueprint(shop)
    return app


def guarded() -> Flask:
    app = make()

    @app.before_request
    def guard() -> None:
        if "secret" in request.path:
            abort(403)

    return app


def wrapped() -> Flask:
    app = make()
    inner = app.wsgi_app

    def middleware(environ: dict[str, Any], start_response: Any) -> Any:
        return inner(environ, start_response)

    app.wsgi_app = middleware  # type: ignore[method-assign]
    return app


def shadowed() -> Flask:
    app = make()

    @app.get("/static/special.css")
    def special() -> Response:
        return Response("special", mimetype="text/css")

    return app
