"""The Tornado application: ``app:app``."""

from shop import create_app

app = create_app()
