"""Django REST framework: a viewset, a serializer that refuses, content negotiation."""

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["rest_framework"],
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None, "DEFAULT_AUTHENTICATION_CLASSES": []},
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from rest_framework import routers, serializers, viewsets  # noqa: E402
from rest_framework.response import Response  # noqa: E402


class Item(serializers.Serializer):
    name = serializers.CharField(max_length=5)


class Items(viewsets.ViewSet):
    def list(self, request):
        return Response([{"name": "first"}])

    def create(self, request):
        item = Item(data=request.data)
        item.is_valid(raise_exception=True)
        return Response(item.validated_data, status=201)


router = routers.SimpleRouter()
router.register("items", Items, basename="item")
urlpatterns = [path("", include(router.urls))]
app = get_wsgi_application()
