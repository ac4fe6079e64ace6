"""As in an environment that has no orjson."""

from __future__ import annotations

import sys

sys.modules["orjson"] = None

from on_flask import app  # noqa: E402, F401
