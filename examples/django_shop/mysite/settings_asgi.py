"""Settings of the ASGI entry: its streams are asynchronous."""

from .settings import *  # noqa: F403

ROOT_URLCONF = "mysite.urls_asgi"
