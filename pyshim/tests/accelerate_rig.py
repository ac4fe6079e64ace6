"""Values that json and orjson may write differently, and processes for what cannot be undone."""

from __future__ import annotations

import datetime
import enum
import os
import subprocess
import sys
import textwrap
from collections import namedtuple
from pathlib import Path
from typing import Any

from pyspeed import accelerate

WHEN = datetime.date(2024, 2, 29)


class Text(str):
    pass


class Color(enum.Enum):
    RED = 1


class Kind(str, enum.Enum):
    A = "a"


class Code(bytes, enum.Enum):
    """Its value is a text; marshal takes its members for bytes, and orjson writes their values."""

    A = "a"

    def __new__(cls, value: str) -> Any:
        made = bytes.__new__(cls, value.encode())
        made._value_ = value
        return made


Point = namedtuple("Point", "x y")


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(accelerate.__file__).resolve().parents[2])}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
