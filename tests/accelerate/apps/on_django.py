from __future__ import annotations

import answers
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

settings.configure(
    ROOT_URLCONF="on_django",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["rest_framework"],
    SECRET_KEY="of no use",
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
)


def made(request, name):
    return JsonResponse(answers.answer(name), safe=False)


def view(request, name):
    """REST framework is imported with the first request."""
    from rest_framework.decorators import api_view, renderer_classes
    from rest_framework.renderers import JSONRenderer
    from rest_framework.response import Response

    @api_view()
    @renderer_classes([JSONRenderer])
    def rest(request):
        return Response(answers.answer(name))

    return rest(request)


urlpatterns = [path("made/<name>", made), path("rest/<name>", view)]
app = get_wsgi_application()
on_asgi = get_asgi_application()
