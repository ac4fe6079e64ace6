"""Patches the standard library by itself, as applications for gunicorn's gevent worker often do."""

import gevent.monkey

gevent.monkey.patch_all()

from on_gevent import application  # noqa: E402, F401 - after the patches
