"""Makes the database at the start, so that the example runs at once.

A real project runs ``manage.py migrate`` when it is deployed.
"""

from __future__ import annotations

import fcntl

from django.conf import settings
from django.core.management import call_command
from django.db import connection


def prepare() -> None:
    """Create and seed the file once, however many workers start together."""
    with open(f"{settings.DATABASES['default']['NAME']}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")
        call_command("migrate", interactive=False, verbosity=0)
    connection.close()
