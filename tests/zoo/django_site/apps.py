"""Notes each request's signals, from the first request on."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.signals import request_finished, request_started
from django.db import connection
from keeper import note


def started(**_more: Any) -> None:
    note("started")


def finished(**_more: Any) -> None:
    # Django's own receiver, close_old_connections, was there first.
    note("finished-open" if connection.connection is not None else "finished")


class SiteConfig(AppConfig):
    name = "django_site"

    def ready(self) -> None:
        request_started.connect(started)
        request_finished.connect(finished)
