"""Flask with its own static folder, a blueprint's, and variants whose folders are not only files."""

from __future__ import annotations

import os
from functools import wraps
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


def login_required(view: Any) -> Any:
    @wraps(view)
    def guarded_view(*args: Any, **kwargs: Any) -> Any:
        if "Authorization" not in request.headers:
            abort(401)
        return view(*args, **kwargs)

    return guarded_view


def nested() -> Flask:
    """A guard of the blueprint that the one with the folder is nested in."""
    app = make()
    admin = Blueprint("admin", __name__, url_prefix="/admin")
    files = Blueprint("files", __name__, url_prefix="/files", static_folder=FILES / "shop", static_url_path="/assets")
    admin.before_request(login_required(lambda: None))
    admin.register_blueprint(files)
    app.register_blueprint(admin)
    return app


def guarded_view() -> Flask:
    app = make()
    app.view_functions["static"] = login_required(app.view_functions["static"])
    return app


def trusting() -> Flask:
    app = make()
    app.config["TRUSTED_HOSTS"] = ["example.org"]
    return app


def built_only() -> Flask:
    """The route is there for url_for; the files are on another server."""
    app = Flask(__name__, static_folder=None)
    app.static_folder = FILES / "own"
    app.add_url_rule("/static/<path:filename>", endpoint="static", build_only=True)
    return app


def favicon() -> Flask:
    app = make()
    app.add_url_rule("/favicon.css", endpoint="static", defaults={"filename": "app.css"})
    return app
