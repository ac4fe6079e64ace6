"""The fake gateway's side of preloading: a zygote, and the workers that it forks.

>>> with Zygote("shop:app", directory) as zygote, zygote.fork("2") as worker:
...     assert worker.get("/").status == "200 OK"

The process that runs the tests becomes a subreaper, as the gateway is, so that it is the workers' parent.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import socket
from pathlib import Path
from typing import Any, Dict, List, Union

from gateway import Worker

from pyspeed import records

_PR_SET_CHILD_SUBREAPER = 36


class Zygote(Worker):
    """A zygote that has imported its application."""

    def __init__(self, target: str, directory: Union[str, Path] = "", **settings: Any) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        settings.setdefault("env", {"PYSPEED_WORKER_ID": ""})
        super().__init__(target, directory, command="zygote", **settings)
        self._start_message = self._settings

    def fork(self, slot: str = "1", **settings: Any) -> Forked:
        """Have a worker forked, and tell it to start."""
        return Forked(self, slot, **settings)

    def forked(self, descriptors: List[int], slot: str) -> Dict[str, Any]:
        """Send ``fork``; returns the answer."""
        message = marshal.dumps({"cmd": "fork", "slot": slot}, 2)
        socket.send_fds(self.control, [records.record(records.MESSAGE, 0, message)], descriptors)
        return self.event("forked")


class Forked(Worker):
    """A worker that a zygote has forked."""

    def __init__(self, zygote: Zygote, slot: str, **settings: Any) -> None:
        self._zygote = zygote
        self._slot = slot
        start = dict(zygote._start_message, worker_id=slot)
        start.update(settings)
        ready = start.pop("ready", True)
        super().__init__(start.pop("target"), start.pop("directory"), ready=ready, **start)

    def _launch(self, descriptors: List[int], shim: str, directory: str) -> None:
        answer = self._zygote.forked([*descriptors, self.output.fileno(), self.output.fileno()], self._slot)
        if not answer["pid"]:
            raise OSError(answer["error"])
        self.pid = answer["pid"]


def zygote_failure(target: str, directory: Union[str, Path], **settings: Any) -> tuple[Dict[str, Any], int, str]:
    """Start a zygote that fails: the event, the exit code, and what it wrote."""
    with Zygote(target, directory, ready=False, **settings) as zygote:
        return zygote.event("failed"), zygote.join(), zygote.log()


def children(pid: int) -> List[int]:
    """The process ids of a process's children."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(name))
    return found
