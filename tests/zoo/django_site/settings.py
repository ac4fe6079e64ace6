"""What the project's name alone leads to."""

from __future__ import annotations

import os

SECRET_KEY = "only for the tests"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django_site"]
ROOT_URLCONF = "django_site.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["ZOO_RUNS"] + ".sqlite3"}}
NAME = __name__
