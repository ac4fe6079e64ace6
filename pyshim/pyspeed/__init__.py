"""PySpeed's worker side: runs WSGI and ASGI applications for the ``pyspeed-gw`` gateway.

The gateway starts this package in worker processes and speaks FastCGI with it;
see ``docs/internals.md`` for the contract between the two.
"""

__version__ = "0.1.0"
