"""A lifespan shutdown with a time limit: the worker ends also when the application does not.

In: the lifespan and its limit. Out: a log line and the stacks where the limit was exceeded. Imported where there is
a limit. A native thread watches, for the application may hold the event loop.
"""

from __future__ import annotations

import asyncio
import os
from _thread import allocate_lock, start_new_thread

from .debugged import debugged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .control import Control
    from .lifespan import Lifespan

_TURN = 1.0  # seconds that the loop may take to turn once the limit is exceeded


async def limited(lifespan: Lifespan, limit: int, control: Control, attached: bool) -> None:
    """Await the shutdown of ``lifespan`` for ``limit`` milliseconds, less what a debugger takes.

    Where the application holds the event loop then, the process ends at once, unless it is ``attached``.
    """
    loop = asyncio.get_running_loop()
    running = allocate_lock()
    running.acquire()

    def watch() -> None:
        while not running.acquire(timeout=limit / 1000):
            if debugged():
                continue
            control.write_stacks()
            _say(
                "the application's lifespan shutdown did not end within %d ms, and its stack is above; "
                "the worker ends anyway; raise app.lifespan_timeout if it only needs longer" % limit
            )
            try:
                loop.call_soon_threadsafe(lifespan.give_up)
            except RuntimeError:
                return  # the loop is closed: it has just ended
            if not running.acquire(timeout=_TURN) and not attached:
                _say("the worker ends at once, as the application holds its event loop")
                os._exit(1)
            return

    start_new_thread(watch, ())
    try:
        await lifespan.shutdown()
    finally:
        running.release()


def _say(text: str) -> None:
    # Not by sys.stderr, whose lock another thread may hold for ever.
    os.write(2, ("pyspeed: %s\n" % text).encode())
