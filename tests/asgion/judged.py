"""An ASGI application with asgion between it and the server, as the target ``judged:app``.

JUDGED names the application, and JUDGED_NOTES the file that takes a line for each violation and,
at the worker's end, one with how many scopes were judged.
"""

from __future__ import annotations

import atexit
import importlib
import os

from asgion import Inspector
from asgion.core.violation import Violation


def write(line: str) -> None:
    # One short write in append mode: the lines of several workers do not mix.
    with open(os.environ["JUDGED_NOTES"], "ab", buffering=0) as notes:
        notes.write(line.encode() + b"\n")


def note(violation: Violation) -> None:
    what = f"{violation.scope_type} {violation.method} {violation.path}"
    write(f"{violation.severity.name} {violation.rule_id} {violation.message} ({what})")


module, attribute = os.environ["JUDGED"].split(":")
inspector = Inspector(getattr(importlib.import_module(module), attribute), on_violation=note)
app = inspector.asgi_app


@atexit.register
def report() -> None:
    write(f"JUDGED {inspector._scope_counter[0]}")
