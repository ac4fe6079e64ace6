"""Serves an application that exists already, and says afterwards whether Flask is as it was."""

from __future__ import annotations

import json
import sys

import pyspeed
from flask.json.provider import DefaultJSONProvider
from on_flask import app

before = dict(vars(DefaultJSONProvider))
pyspeed.run_app(app, port=0, options=json.loads(sys.argv[1]))
sys.stdout.write("flask is as it was\n" if before == dict(vars(DefaultJSONProvider)) else "flask has been changed\n")
sys.stdout.flush()
