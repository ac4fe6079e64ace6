"""Has replaced json.dumps before anybody could look."""

from __future__ import annotations

import json

dumps = json.dumps
json.dumps = lambda obj, **kwargs: dumps({"own": obj}, **kwargs)

from on_flask import app  # noqa: E402, F401
