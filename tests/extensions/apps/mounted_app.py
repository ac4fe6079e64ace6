"""Applications below paths of another one, as Dash and Flask-Admin are mounted."""

from flask import Flask, request, url_for
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

front, dash = Flask("front"), Flask("dash")


@front.route("/")
def index() -> str:
    return "front"


@dash.route("/page/<name>")
def page(name: str) -> str:
    return f"{request.script_root} {request.path} {url_for('page', name=name)}"


app = ProxyFix(DispatcherMiddleware(front, {"/dash": dash}))  # type: ignore[arg-type]
