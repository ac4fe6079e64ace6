"""``serving``: an application on a free port, served from this process while a block runs; for tests.

In: an application, as for :func:`pyspeed.run_app`. Out: the server's address. A background thread serves; nothing is
done to signals, and any number may run at once.
"""

from __future__ import annotations

import os
import signal
import threading

from . import keywords
from .launch import Gateway, GatewayError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, List, Optional, Tuple, Type, Union

_PATIENCE = 10.0  # seconds that the serving thread may take once the gateway is gone


class serving:
    """Serve ``app`` while a ``with`` block (or ``async with``) runs.

    >>> with pyspeed.serving(app) as server:
    ...     urllib.request.urlopen(server.url + "/items")

    Takes the keyword arguments of ``run_app``; without an address it listens on 127.0.0.1 and a free port. It is ready
    when the block begins, and stops in order at its end. What ``run_app`` raises, entering the block raises; leaving
    it raises GatewayError when the gateway died meanwhile. Each object serves once.
    """

    def __init__(self, app: Any, **options: Any) -> None:
        self._plan = keywords.plan(app, options, os.environ, free_port=True)
        self._gateway: Optional[Gateway] = None
        self._thread: Optional[threading.Thread] = None
        self._failure: Optional[BaseException] = None

    @property
    def addresses(self) -> List[str]:
        """Where it listens: ``http://127.0.0.1:43210``, ``unix:/path``."""
        if self._gateway is None or not self._gateway.addresses:
            raise RuntimeError("cannot tell the address: it does not serve; use it in a with statement")
        return self._gateway.addresses

    @property
    def url(self) -> str:
        """The first address, as a client on this machine writes it: no slash at its end."""
        address = self.addresses[0]
        for anywhere, here in (("http://0.0.0.0:", "http://127.0.0.1:"), ("http://[::]:", "http://[::1]:")):
            if address.startswith(anywhere):
                return here + address[len(anywhere) :]
        return address

    @property
    def host(self) -> str:
        """The host of :attr:`url`, without brackets; "" for a unix socket."""
        return "" if self.url.startswith("unix:") else self.url[7:].rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 for a unix socket."""
        return 0 if self.url.startswith("unix:") else int(self.url.rpartition(":")[2])

    @property
    def address(self) -> Union[str, Tuple[str, int]]:
        """What ``socket.connect`` takes: ``(host, port)``, or the path of a unix socket."""
        return self.url[5:] if self.url.startswith("unix:") else (self.host, self.port)

    def start(self) -> None:
        """Start to serve; returns when clients can connect."""
        if self._gateway is not None:
            raise RuntimeError("cannot serve again: make another object")
        plan = self._plan
        self._gateway = gateway = Gateway(plan.arguments, not plan.spawned, plan.keep)
        if not plan.spawned:
            self._thread = threading.Thread(target=self._serve, name="pyspeed-serving", daemon=True)
            self._thread.start()
        try:
            with gateway.changed:
                gateway.changed.wait_for(lambda: gateway.listening.is_set() or gateway.ended.is_set())
        except BaseException:
            self.stop()
            raise
        if not gateway.listening.is_set():
            self._end()
            raise self._failure or GatewayError("the gateway ended before it listened")

    def stop(self) -> None:
        """Stop in order: requests that run are finished. Raises what went wrong meanwhile."""
        gateway = self._gateway
        if gateway is None:
            return
        gateway.signal(signal.SIGTERM)
        self._end()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _end(self) -> None:
        gateway, thread = self._gateway, self._thread
        assert gateway is not None
        gateway.wait()
        if thread is None:
            self._failure = self._failure or gateway.failure()
            return
        thread.join(_PATIENCE)
        if thread.is_alive():
            self._failure = self._failure or RuntimeError(
                "cannot stop: the application holds the thread that serves it; its stack is the debugger's to show"
            )

    def _serve(self) -> None:
        from . import attached

        assert self._gateway is not None
        try:
            attached.serve(self._plan, self._gateway)
        except BaseException as error:
            self._failure = error

    def __enter__(self) -> serving:
        self.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            self.stop()
        except Exception:
            if error is None:
                raise  # else what the block raised says more

    async def __aenter__(self) -> serving:
        import asyncio

        await asyncio.get_running_loop().run_in_executor(None, self.start)
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        import asyncio

        await asyncio.get_running_loop().run_in_executor(None, self.__exit__, kind, error, trace)
