"""What DJANGO_SETTINGS_MODULE leads to."""

from .settings import *  # noqa: F403

NAME = __name__
