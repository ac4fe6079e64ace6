"""The ASGI application: ``asgi:app``."""

from shop import app

__all__ = ["app"]
