"""The bench: what came in, and odd things going out."""

from __future__ import annotations

import json
import time

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .models import Nonce
from .query import number


@require_POST
def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type=request.content_type or "application/octet-stream")


def info(request: HttpRequest, rest: str | None) -> HttpResponse:
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "query": request.META["QUERY_STRING"],
            "headers": [[name.lower(), value] for name, value in request.headers.items()],
            "remote_addr": request.META.get("REMOTE_ADDR"),
            "scheme": request.scheme,
            "host": request.get_host(),
        }
    )


@require_http_methods(["GET", "HEAD", "POST"])
def nonce(request: HttpRequest) -> HttpResponse:
    # The body is read whole first: a request that never arrived whole never counts.
    body = request.body
    value = request.headers.get("X-Nonce") or request.GET.get("nonce")
    if not value and body:
        value = json.loads(body)["nonce"]
    if not value:
        return HttpResponseBadRequest("no nonce in header, query or body")
    return JsonResponse({"nonce": value, "runs": Nonce.count(value), "pad": "x" * number(request, "pad", 0)})


@require_safe
def nonces(request: HttpRequest) -> HttpResponse:
    """How often each nonce with this prefix ran."""
    # Not startswith: SQLite's LIKE does not know upper case from lower case.
    prefix = request.GET.get("prefix", "")
    found = Nonce.objects.filter(nonce__gte=prefix, nonce__lt=prefix + "\U0010ffff") if prefix else Nonce.objects.all()
    return JsonResponse(dict(found.values_list("nonce", "runs")))


@require_safe
def set_cookies(request: HttpRequest) -> HttpResponse:
    answer = JsonResponse({"set": list(request.GET)})
    for name, value in request.GET.items():
        answer.set_cookie(name, value, httponly=True, samesite="Lax")
    return answer


@require_safe
def cookies(request: HttpRequest) -> HttpResponse:
    return JsonResponse(request.COOKIES)


@require_safe
def slow(request: HttpRequest) -> HttpResponse:
    ms = number(request, "ms", 100)
    time.sleep(ms / 1000)
    return JsonResponse({"slept_ms": ms})


@require_safe
def large_header(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"ok": True}, headers={"X-Large": "h" * number(request, "bytes", 4096)})


@require_safe
def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


@require_safe
def error(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the till is broken")
