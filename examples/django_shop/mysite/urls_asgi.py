"""The pages of the ASGI entry: asynchronous where a view waits for time or for the client, else the same.

Django runs the others in threads.
"""

from django.urls import path
from shop import asynchronous

from . import urls

handler404 = urls.handler404

urlpatterns = [
    path("download", asynchronous.download),
    path("stream", asynchronous.stream),
    path("orders/<str:order_id>/events", asynchronous.events),
    path("items/<int:item_id>", asynchronous.item, name="item"),
    path("echo", asynchronous.echo),
    path("slow", asynchronous.slow),
    *urls.urlpatterns,
]
