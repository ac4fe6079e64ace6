"""The pages of the WSGI entry."""

from django.urls import path, re_path
from shop import catalog, files, lab, orders

handler404 = "shop.catalog.not_found"

urlpatterns = [
    path("", catalog.front),
    path("items", catalog.items, name="items"),
    path("items/<int:item_id>", catalog.item, name="item"),
    path("old-items", catalog.old_items),
    path("uploads", files.upload_form),
    path("uploads/<str:name>", files.upload),
    path("download", files.download),
    path("stream", files.stream),
    path("orders/<str:order_id>/events", orders.events),
    path("echo", lab.echo),
    re_path("^info(/.*)?$", lab.info),
    path("nonce", lab.nonce),
    path("nonces", lab.nonces),
    path("cookies/set", lab.set_cookies),
    path("cookies", lab.cookies),
    path("slow", lab.slow),
    path("large-header", lab.large_header),
    path("empty", lab.empty),
    path("error", lab.error),
]
