"""The ASGI application: ``asgi:app``."""

from shop import create_app

app = create_app()
