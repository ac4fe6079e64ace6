"""The front page and the items."""

from __future__ import annotations

import json

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from .models import Item
from .query import number


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/front.html", {"items": Item.objects.order_by("pk")[:10]})


@require_http_methods(["GET", "HEAD", "POST"])
def items(request: HttpRequest) -> HttpResponse:
    return create_item(request) if request.method == "POST" else list_items(request)


def list_items(request: HttpRequest) -> HttpResponse:
    page, per_page = number(request, "page", 1), number(request, "per_page", 20)
    if page < 1 or not 1 <= per_page <= 100:
        return HttpResponseBadRequest()
    start = (page - 1) * per_page
    found = [item.as_dict() for item in Item.objects.order_by("pk")[start : start + per_page]]
    return JsonResponse({"items": found, "page": page, "per_page": per_page, "total": Item.objects.count()})


def create_item(request: HttpRequest) -> HttpResponse:
    data = json.loads(request.body)
    name, price = data.get("name"), data.get("price")
    if not isinstance(name, str) or not name or not isinstance(price, int) or price < 0:
        return JsonResponse({"error": "an item needs a name and a price of 0 or more"}, status=400)
    item = Item.objects.create(name=name, price=price, note=str(data.get("note", "")))
    location = {"Location": reverse("item", args=[item.pk])}
    return JsonResponse({"id": item.pk, "name": name, "price": price}, status=201, headers=location)


@require_safe
def item(request: HttpRequest, item_id: int) -> HttpResponse:
    try:
        return JsonResponse(Item.objects.get(pk=item_id).as_dict())
    except Item.DoesNotExist:
        raise Http404 from None


@require_safe
def old_items(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(reverse("items"))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return JsonResponse({"error": "nothing is sold here", "path": request.path}, status=404)
