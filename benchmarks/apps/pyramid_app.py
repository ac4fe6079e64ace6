"""Pyramid: a hello and a JSON list, by its renderers."""

from __future__ import annotations

from typing import Any

from json_wsgi import RECORDS
from pyramid.config import Configurator
from pyramid.request import Request


def hello(request: Request) -> str:
    return "Hello, World!"


def as_json(request: Request) -> list[dict[str, Any]]:
    return RECORDS


with Configurator() as config:
    config.add_route("hello", "/")
    config.add_view(hello, route_name="hello", renderer="string")
    config.add_route("json", "/json")
    config.add_view(as_json, route_name="json", renderer="json")
    app = config.make_wsgi_app()
