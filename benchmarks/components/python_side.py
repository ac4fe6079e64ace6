"""python -m components.python_side FOLDER SECONDS: the ways of Python, each with the bytes of components/inputs.py.

Runs in the environment of the peers, with the shim's folder on PYTHONPATH.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from . import python_fastcgi, python_http, python_json
from .timing import digest, nanoseconds, report

# Component, input, way, the call, and the bytes that its result must be equal in on both sides.
Way = tuple[str, str, str, Callable[[], object], Callable[[], bytes]]


def main() -> int:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    for module in (python_http, python_fastcgi, python_json):
        ways: list[Way] = module.ways(folder)
        for component, given, way, work, canonical in ways:
            report(component, given, way, nanoseconds(work, seconds), digest(canonical()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
