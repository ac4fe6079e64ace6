"""Fixtures of several files."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

if TYPE_CHECKING:
    from pyspeed.accelerate import exact


@pytest.fixture(scope="session")
def orjson() -> exact.Orjson:
    from pyspeed.accelerate import exact

    return exact.Orjson(pytest.importorskip("orjson"))


@pytest.fixture
def encode(orjson: exact.Orjson) -> Any:
    return orjson.encoder({datetime.date: datetime.date.isoformat}, (UUID,), (set,))
