"""``pyspeed.recycle``: the application asks for another process in the place of its worker.

In: a call, on any thread. Out: the event ``recycle``, once. Imported at the first use.
"""

from __future__ import annotations

from . import control

_REASON_MOST = 500  # characters of it that the log gets


def recycle(reason: str = "") -> None:
    """Have this worker replaced in order; returns at once.

    A successor is started first, and serves; then this worker gets no more requests, finishes those that it has, runs
    its exit hooks and ends. So no request is lost, and this one's answer is sent. ``reason`` is for the log. Any
    thread, task or hook may call it; further calls change nothing.

    ``python -m pyspeed --fastcgi`` ends in order, with exit code 0, for its process manager to start it anew. Raises
    RuntimeError where nobody could start another process: with ``run_app`` and ``serving``, in a child that the
    application has forked, and in a process that is no worker.
    """
    if not isinstance(reason, str):
        raise TypeError("cannot recycle: the reason is %s, not str" % type(reason).__name__)
    ask = control.recycler
    if ask is None:
        raise RuntimeError(
            "cannot recycle: there is nobody to start another process in this one's place; "
            "call it in a worker that pyspeed-gw has started, not with run_app(), nor in a child of the worker"
        )
    ask(reason[:_REASON_MOST])
