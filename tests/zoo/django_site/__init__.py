"""A Django project without wsgi.py and asgi.py, which notes Django's signals of each request."""
