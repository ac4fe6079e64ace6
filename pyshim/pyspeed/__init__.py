"""PySpeed's worker side: runs WSGI and ASGI applications for the ``pyspeed-gw`` gateway.

The gateway starts this package in worker processes and speaks FastCGI with it;
see ``docs/internals.md`` for the contract between the two.

Every import costs each worker memory and time at its start, and an application may need none of
it. So `typing` is for the type checkers alone, sockets and signals are used through the C modules
below `socket` and `signal`, and what only a failure or a rare target needs is imported there.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .background import serving as serving
    from .control import StartFailed as StartFailed
    from .launch import GatewayError as GatewayError
    from .recycling import recycle as recycle
    from .run import run_app as run_app

_PUBLIC = {
    "run_app": "run",
    "serving": "background",
    "GatewayError": "launch",
    "StartFailed": "control",
    "recycle": "recycling",
}


def __getattr__(name: str) -> object:
    """What only users of the package import, at the first use."""
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError("module 'pyspeed' has no attribute %r" % name)
    import importlib

    found: object = getattr(importlib.import_module("pyspeed." + module), name)
    globals()[name] = found
    return found
