"""The ASGI entry."""

import os

from django.core.asgi import get_asgi_application

from . import cookies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings_asgi")
application = cookies.joined(get_asgi_application())

from shop.prepare import prepare  # noqa: E402 (the application has made Django ready)

prepare()
