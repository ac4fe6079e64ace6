"""A tame animal; also a module without the attribute that a test asks for."""

from keeper import asgi_app, wsgi_app

wsgi = wsgi_app({})
asgi = asgi_app({})
not_callable = 42
