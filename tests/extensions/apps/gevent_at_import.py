"""Uses gevent's hub while it is imported, and leaves a greenlet behind."""

import gevent
from on_gevent import application  # noqa: F401

ticks = 0


def tick() -> None:
    global ticks
    while True:
        gevent.sleep(0.01)
        ticks += 1


gevent.spawn(tick)
gevent.sleep(0.02)
