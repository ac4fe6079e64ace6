"""The Flask shop behind the standard checkers of WSGI servers: targets for ``test_validated.py``.

Run with ``examples/flask_shop`` on PYTHONPATH.
"""

from __future__ import annotations

from wsgiref.validate import validator

from webtest.lint import middleware  # type: ignore[import-untyped]
from wsgi import application  # type: ignore[import-not-found]

validated = validator(application)
linted = middleware(application)
