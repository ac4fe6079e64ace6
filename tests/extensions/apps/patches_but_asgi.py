"""An ASGI application that patches away the threads its event loop needs."""

import gevent.monkey

gevent.monkey.patch_all()


async def application(scope, receive, send):
    """Never called."""
