"""A pytest plugin: the fixture ``pyspeed_serve`` serves applications for the length of a test.

It is there when the package is installed; else ``-p pyspeed.pytest_plugin``.
"""

from __future__ import annotations

import pytest

from .background import serving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, List


@pytest.fixture
def pyspeed_serve() -> Iterator[Callable[..., serving]]:
    """A function ``pyspeed_serve(app, **keywords)`` that serves an application on a free port.

    It takes what ``pyspeed.serving`` takes and returns the server (``url``, ``host``, ``port``, ``address``); all that
    a test started end with it, the last first.
    """
    servers: List[serving] = []

    def serve(app: Any, **options: Any) -> serving:
        server = serving(app, **options)
        server.start()
        servers.append(server)
        return server

    yield serve
    failures = []
    while servers:
        try:
            servers.pop().stop()
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]
