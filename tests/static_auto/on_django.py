"""Django with STATIC_ROOT, which it does not serve itself."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path, re_path
from django.views.static import serve

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


def guarded(request: HttpRequest, **kwargs: str) -> HttpResponseBase:
    if "Authorization" not in request.headers:
        return HttpResponse("not for you", status=401)
    return serve(request, document_root=settings.STATIC_ROOT, **kwargs)


def make() -> WSGIHandler:
    import django

    django.setup()
    return WSGIHandler()


def viewed() -> WSGIHandler:
    """The project serves the folder itself, to some."""
    urlpatterns.append(re_path(r"^static/(?P<path>.*)$", guarded))
    return make()
