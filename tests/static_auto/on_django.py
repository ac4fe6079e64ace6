"""Django with STATIC_ROOT, which it does not serve itself."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    STATIC_URL="/static/",
    STATIC_ROOT=os.path.join(os.environ["STATIC_AUTO"], "own"),
)


def front(request: HttpRequest) -> HttpResponse:
    return HttpResponse("front")


urlpatterns = [path("", front)]


def make() -> WSGIHandler:
    import django

    django.setup()
    return WSGIHandler()
