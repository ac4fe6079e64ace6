"""A small shop over SQLite, in Tornado."""

from __future__ import annotations

from pathlib import Path

from tornado.web import Application

from . import catalog, db, files, lab, orders
from .handler import NotFound

STATIC = Path(__file__).resolve().parent / "static"


def create_app() -> Application:
    db.prepare()
    routes = [route for module in (catalog, files, lab, orders) for route in module.ROUTES]
    return Application(routes, default_handler_class=NotFound, static_path=str(STATIC))
