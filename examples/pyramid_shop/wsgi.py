"""The WSGI application: ``wsgi:application``."""

from shop import main

application = main({})
