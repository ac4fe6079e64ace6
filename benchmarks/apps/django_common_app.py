"""django_app.py with the middleware that gives answers a Content-Length, as every new project has it.

Without one ``manage.py runserver`` ends each connection to end the answer. As a program it is ``manage.py``.
"""

from __future__ import annotations

import sys

from django.conf import settings

settings.configure(
    SECRET_KEY="only for measuring",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="django_app",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)

from django_app import app  # noqa: E402 - it looks whether the settings are there

__all__ = ["app"]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
