"""Tests beside each other (``-n 2 --dist loadscope``): those that share servers in one process, the others in any."""

from __future__ import annotations

import os
from typing import Any

import pytest

# Files whose tests share fixtures, and with whom they do.
TOGETHER = {
    "test_connection.py": "shops",
    "test_crowd.py": "shops",
    "test_shop.py": "shops",
    "test_tornado.py": "shops",
    "test_accelerate.py": "accelerate",
    "test_attached.py": "attached",
    "test_bad_input.py": "bad input",
    "test_cache.py": "cache",
    "test_compress.py": "compress",
    "test_json.py": "json",
    "test_rate_limit.py": "rate limit",
    "test_upstream.py": "upstream",
    "test_zoo_failing.py": "zoo",
    "extensions/test_gevent.py": "gevent",
}


def unit(nodeid: str) -> str:
    """What runs as a whole: the test, or all that share with it."""
    return TOGETHER.get(nodeid.partition("::")[0], nodeid)


def check(items: list[pytest.Item]) -> None:
    """Fails where tests share and TOGETHER does not know: each process would start their servers."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for item in items:
        if unit(item.nodeid) == item.nodeid and (shared := _shared_fixtures(item)):
            raise pytest.UsageError(f"{item.nodeid} shares {sorted(shared)}: TOGETHER in {__file__} must have its file")


def _shared_fixtures(item: pytest.Item) -> set[str]:
    """Those of our fixtures that several tests use."""
    found: dict[str, Any] = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    last = {name: all_of[-1] for name, all_of in found.items()}
    return {name for name, one in last.items() if one.scope != "function" and not one.func.__module__.startswith("_")}


def scheduler(config: pytest.Config, log: Any) -> Any:
    """For pytest_xdist_make_scheduler."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    return Scheduling(config, log)
