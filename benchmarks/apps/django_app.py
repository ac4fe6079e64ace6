"""Django in one file: a hello and a JSON list, without middleware, as the other frameworks here are without.

``app`` is the WSGI application; ``asgi_app`` the ASGI one, with asynchronous views. As a program it is
``manage.py``: ``python django_app.py runserver --noreload 127.0.0.1:8000``.
"""

from __future__ import annotations

import sys

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from json_wsgi import RECORDS

if not settings.configured:
    settings.configure(SECRET_KEY="only for measuring", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[])


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, World!", content_type="text/plain")


def as_json(request: HttpRequest) -> HttpResponse:
    return JsonResponse(RECORDS, safe=False)


async def hello_async(request: HttpRequest) -> HttpResponse:
    return hello(request)


async def as_json_async(request: HttpRequest) -> HttpResponse:
    return as_json(request)


urlpatterns = [path("", hello), path("json", as_json)]


class AsyncRequest(ASGIRequest):
    # Takes the place of ROOT_URLCONF (Django's reference, HttpRequest.urlconf).
    urlconf = (path("", hello_async), path("json", as_json_async))


class AsyncHandler(ASGIHandler):
    request_class = AsyncRequest


app = get_wsgi_application()
asgi_app = AsyncHandler()

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
