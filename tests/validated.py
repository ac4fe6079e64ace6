"""A WSGI shop behind the standard checkers of WSGI servers: targets for ``test_validated.py``.

Run with the shop's folder on PYTHONPATH and its target in VALIDATED.
"""

from __future__ import annotations

import importlib
import os
from wsgiref.validate import validator

from webtest.lint import middleware  # type: ignore[import-untyped]

module, attribute = os.environ["VALIDATED"].split(":")
application = getattr(importlib.import_module(module), attribute)

validated = validator(application)
linted = middleware(application)
