"""PySpeed's worker side: runs WSGI and ASGI applications for the ``pyspeed-gw`` gateway.

The gateway starts this package in worker processes and speaks FastCGI with it;
see ``docs/internals.md`` for the contract between the two.

Every import costs each worker memory and time at its start, and an application may need none of
it. So `typing` is for the type checkers alone, sockets and signals are used through the C modules
below `socket` and `signal`, and what only a failure or a rare target needs is imported there.
"""

__version__ = "0.1.0"
