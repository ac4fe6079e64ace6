"""An editor's side of the Debug Adapter Protocol, as much of it as it takes to stand at a breakpoint."""

from __future__ import annotations

import json
import socket
from typing import Any

from .client import PATIENCE, Address


class Editor:
    """Connected to ``debugpy.listen()``; not thread-safe."""

    def __init__(self, address: Address) -> None:
        self._sock = socket.create_connection((address.host, address.port), PATIENCE)
        self._file = self._sock.makefile("rb")
        self._number = 0
        self._order("initialize", adapterID="test", clientID="test", pathFormat="path")
        self._order("attach", justMyCode=False)
        self._event("initialized")
        self._answer(self._order("configurationDone"))

    def wait_until_stopped(self) -> int:
        """Returns the thread that stands at a breakpoint."""
        thread: int = self._event("stopped")["body"]["threadId"]
        return thread

    def go_on(self, thread: int) -> None:
        self._answer(self._order("continue", threadId=thread))

    def leave(self) -> None:
        self._answer(self._order("disconnect", terminateDebuggee=False))
        self.close()

    def close(self) -> None:
        self._file.close()
        self._sock.close()

    def _order(self, command: str, **arguments: Any) -> int:
        self._number += 1
        order = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        content = json.dumps(order).encode()
        self._sock.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(content), content))
        return self._number

    def _event(self, name: str) -> dict[str, Any]:
        while (message := self._read()).get("event") != name:
            pass
        return message

    def _answer(self, number: int) -> None:
        while (message := self._read()).get("request_seq") != number:
            pass
        assert message["success"], message

    def _read(self) -> dict[str, Any]:
        length = 0
        for line in iter(self._file.readline, b"\r\n"):
            if not line:
                raise EOFError("the debugger has hung up")
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        message: dict[str, Any] = json.loads(self._file.read(length))
        return message
