"""A small shop over SQLite, in Pyramid."""

from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.router import Router

ROUTES = {
    "front": "/",
    "items": "/items",
    "item": r"/items/{id:\d+}",
    "old_items": "/old-items",
    "uploads": "/uploads",
    "upload": "/uploads/{name}",
    "download": "/download",
    "stream": "/stream",
    "events": "/orders/{id}/events",
    "echo": "/echo",
    "info": "/info",
    "info_path": "/info/*rest",
    "nonce": "/nonce",
    "nonces": "/nonces",
    "set_cookies": "/cookies/set",
    "cookies": "/cookies",
    "slow": "/slow",
    "large_header": "/large-header",
    "empty": "/empty",
    "error": "/error",
}


def main(_global_config: dict[str, Any], **settings: Any) -> Router:
    with Configurator(settings=settings) as config:
        config.include(".db")
        for name, pattern in ROUTES.items():
            config.add_route(name, pattern)
        config.scan()
        return config.make_wsgi_app()
