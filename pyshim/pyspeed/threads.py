"""Adaptive threads: who reads the data socket, and who runs which request.

In: a :class:`~pyspeed.connection.Connection` and the function that handles one request.
Runs on the calling thread, which becomes the first runner, on further runners as they are
needed, and on one watcher.

One thread at a time has *the lead*: it alone reads the socket. While requests are short the
leader runs them itself, one after the other, one read and one write per batch (*inline*).
A leader that may not come back soon gives the lead away:

- it waits for body or credit: it passes the lead on first (:meth:`Threads._blocking`);
- the watcher sees that a request has outlived a tick: it takes the lead from it and flushes
  the answers that were finished before;
- requests turn out to block: in *hand-off* mode the leader passes the lead on with every
  request before it runs it, so that they run side by side.

::

             recv: requests               queue empty
    LEADER ─────────────────> LEADER ──────────────────> LEADER
    reading                   running, inline             reading
       ^                        │ passes the lead on, or loses it
       │ is given the lead      v
    PARKED <────────────────  RUNNER (without the lead; runs what is queued)
            queue empty

The lead goes to the runner that parked last, so that few threads, and few of their
database connections, are in use; else to a new runner; and when the most runners there may
be all run requests, to the watcher, which reads but runs nothing, so that credit, bodies and
ABORT_REQUEST always get through. With one thread that is how it always goes.

Nothing here relies on the GIL: requests change hands by ``deque.popleft``, which is atomic,
and everything else that two threads touch by ``_lock``. ``lead`` is a list that is not empty
while its owner has the lead: looking at it costs next to nothing, and a look that comes too
late is found out under the lock before the socket is read.
"""

from __future__ import annotations

import select
import threading
import time
from _socket import MSG_DONTWAIT, SHUT_RD

from .long_requests import LongRequests
from .records import ProtocolError
from .runner import Runner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Callable, Dict, List, Optional

    from .connection import Connection, Item

# Bytes per read. Below 128 KiB malloc takes the buffer from its heap; above, a mapping is made and dropped per read.
_RECV = 131008
_CORK = 0.001  # seconds that a finished answer may wait for others
_SHORT = 0.0005  # seconds; a request that takes longer, and not for computing, is better off on its own thread
_DECAY = 1 / 512  # weight of one request in the share of blocking ones
# Hand-off costs some 20 µs per request, a stall inline about 7 ms: it pays from this share of blocking requests on.
_BLOCKING_SHARE = 0.0025
_CROWDED = 20  # milliseconds without an end of any request, after which it is told that others wait for that
_QUIET_TICKS = 20  # ticks without work after which the watcher sleeps


class Threads:
    """Runs the requests of one connection on up to ``most`` threads.

    ``handle(item)`` runs one request; it raises nothing. ``tick`` is how long a request may
    run, in seconds, before its thread is taken to be stalled; a thread with nothing to do ends
    after ``idle`` seconds.
    """

    def __init__(
        self,
        connection: Connection,
        handle: Callable[[Item], None],
        most: int,
        tick: float = 0.0025,
        idle: float = 10.0,
    ) -> None:
        self.most = most
        self.inline = True
        self._connection = connection
        self._handle = handle
        self._tick = tick
        self._idle_seconds = idle
        self._lock = threading.Lock()
        # All below: under _lock.
        self._parked: List[Runner] = []
        self._count = 0  # runners, parked ones included
        self._leader = Runner()
        self._busy = False  # the leader is not in recv
        # The leader has bytes in hand that come before all that another one would read. It keeps the lead even
        # if it waits for a core meanwhile.
        self._feeding = False
        self._batch = 0  # counts changes of _leader and reads
        self._received = 0
        self._share = 0.0  # share of requests that block, of late
        self._share_at = 0
        self._stopping = False
        self._closed = False
        self._abandoned = False
        self._finished = threading.Condition(self._lock)
        self._started: List[threading.Thread] = []  # runners and the watcher; those that have ended may be missing
        self._watcher = Runner()
        self._watcher_sleeps = False
        self._watcher_called = False
        self._turned = 0.0  # when the watcher first saw what the leader still does; 0: it makes progress
        self._progress = 0.0  # when a request without the lead last ended, or the watcher was given the lead
        self._error = ""
        self._long = LongRequests(connection, self._lock, tick, self._pass_lead, self._wake_one, self._notice)
        connection.blocking = self._blocking
        connection.corked = self._corked
        connection.expect = self._long.expect

    def run(self) -> str:
        """Serve until the gateway closes the connection or :meth:`stop` has drained it.

        Returns what went wrong, or "". The calling thread becomes a runner.
        """
        first = Runner()
        with self._lock:
            self._count = 1
            self._leader = first
            self._busy = True
            first.lead.append(True)
        watcher = threading.Thread(target=self._watch, name="pyspeed-watcher", daemon=True)
        self._started.append(watcher)
        watcher.start()
        self._serve(first, None)
        with self._finished:
            while self._count > 0 and not self._abandoned:
                self._finished.wait()
            abandoned = self._abandoned
            started = list(self._started)
        if abandoned:
            watcher.join(1.0)  # it runs no request, and so ends at once
        else:
            self._connection.flush()
            for thread in started:
                thread.join()
        return self._error or self._connection.error

    def on_full(self, tell: Callable[[], None]) -> None:
        """Have ``tell()`` called, on the watcher's thread, when requests wait here that others may have time for."""
        self._long.full = tell

    def stop(self) -> None:
        """Have :meth:`run` return once everything that was received is answered. Any thread; does not wait."""
        with self._lock:
            self._stopping = True
            self._end_if_drained()

    def abandon(self) -> None:
        """Have :meth:`run` return without waiting for the requests that other threads run. Any thread."""
        with self._lock:
            self._abandoned = True
            self._finished.notify_all()
        self._close()

    def reclaim(self) -> List[int]:
        """Take back the requests that have not begun; returns their ids. Any thread."""
        return self._connection.reclaim()

    def stalled_ms(self) -> int:
        """For how many milliseconds nothing has turned: the leader, or, where all threads run requests, one of them.

        0 when they make progress, and when one is free, or waits for its client. Several threads that are all in use
        stall only what waits for them.
        """
        with self._lock:
            turned = self._turned
            if not turned and self._leader is self._watcher and not self._parked:
                waits = any(runner.waits for runner in self._long.runners.values())
                if not waits and (self._connection.queue or self.most == 1):
                    turned = self._progress
        return int((time.monotonic() - turned) * 1000) if turned else 0

    def counts(self) -> Dict[str, int]:
        """``active``: threads that run a request; ``threads``: all that could."""
        with self._lock:
            return {"active": self._active(), "threads": self._count}

    # On the runners' threads.

    def _serve(self, me: Runner, idle: Optional[float]) -> None:
        me.begin()
        long = self._long
        long.runners[me.ident] = me
        lead = me.lead
        connection = self._connection
        queue = connection.queue
        try:
            while True:
                if long.openings and not lead:
                    self._run_aside(me)
                elif lead:
                    if not queue:
                        if not self._read(me):
                            return
                    elif self.inline:
                        self._run_batch(me)
                    else:
                        self._run_one(me)
                elif queue and self._helps():
                    self._run_one(me)
                elif not self._park(me, idle):
                    return
        except BaseException as error:
            # Not the application's: handle raises nothing. A signal handler may have raised in between.
            self._error = "cannot go on serving: %r" % error
            self._close()
        finally:
            with self._lock:
                long.forget(me)
                self._count -= 1
                self._finished.notify_all()

    def _helps(self) -> bool:
        """Whether a thread without the lead takes what is queued: not if the leader gets on with it by itself."""
        return not self.inline or not self._long.one_at_a_time or self._leader is self._watcher or self._closed

    def _run_batch(self, me: Runner) -> None:
        """Run what is queued while I lead."""
        connection = self._connection
        queue = connection.queue
        lead = me.lead
        popleft = queue.popleft
        handle = self._handle
        clock = time.perf_counter
        began = read = clock()
        # Reading the clock costs as much as a part of a short request, so it is read after 1, 2, 4… of them.
        count = left = 1
        try:
            while queue and lead:
                me.item = item = popleft()
                handle(item)
                left -= 1
                if left:
                    continue
                if not lead:
                    break
                now = clock()
                took = now - began
                if took > _CORK:
                    connection.flush()
                if took > _SHORT * count:
                    if self._waits(me, took):
                        break
                    count = 1
                elif took < _SHORT and count < 32:
                    count *= 2
                left = count
                began = now
                if now - read > self._tick and lead and queue:
                    # A long batch must not keep credit, bodies and ABORT_REQUEST from the other threads.
                    self._read(me, MSG_DONTWAIT)
                    read = now
        except IndexError:
            pass  # another thread took the last one
        if not lead:
            self._progress = time.monotonic()
            connection.flush()
            self._long.ended(me)

    def _waits(self, me: Runner, took: float) -> bool:
        """Requests took long, inline: whether to hand off from now on, as they wait more than they compute."""
        used = time.thread_time()
        if me.cpu < 0:
            me.cpu = used
            return False
        me.wall += took
        if me.wall < 0.01:
            return False
        # The CPU time is that of everything since, so this finds too little waiting rather than too much.
        waits = used - me.cpu < me.wall / 2
        me.wall = 0.0
        me.cpu = used
        if not waits or self.most == 1:
            return False
        with self._lock:
            self.inline = False
            self._share = max(self._share, 20 * _BLOCKING_SHARE)
        return True

    def _run_one(self, me: Runner) -> None:
        """Run one request, with the lead passed on if I have it."""
        connection = self._connection
        try:
            item = connection.queue.popleft()
        except IndexError:
            return
        if me.lead:
            with self._lock:
                if me.lead:
                    self._pass_lead()
        began = time.perf_counter()
        self._handle(item)
        slow = time.perf_counter() - began > _SHORT
        self._progress = time.monotonic()
        connection.flush()
        if me.long is not None:
            self._long.ended(me)
            return  # whatever the others are like
        with self._lock:
            self._share += ((1.0 if slow else 0.0) - self._share) * _DECAY
            self._share_at = self._received
            if self._share < _BLOCKING_SHARE:
                self.inline = True

    def _run_aside(self, me: Runner) -> None:
        """Run a request that was put aside, if one may begin. I do not have the lead."""
        item = self._long.take(me)
        if item is not None:
            self._handle(item)
            self._progress = time.monotonic()
            self._connection.flush()
        self._long.ended(me)

    def _read(self, me: Runner, flags: int = 0) -> bool:
        """Read once; False at the end. Flag MSG_DONTWAIT: read what is there, if anything."""
        me.item = None
        connection = self._connection
        if connection.out:
            connection.flush()
        with self._lock:
            if not me.lead:
                return True
            self._busy = False
            self._turned = 0.0
            if self._stopping:
                self._end_if_drained()
        data = self._recv(flags)
        with self._lock:
            self._busy = True
            self._batch += 1
            self._feeding = bool(data)
            if self._watcher_sleeps:
                self._call_watcher()
        if data is None:
            return True
        if not data:
            self._close()
            return False
        fed = self._feed(data)
        self._feeding = False
        return fed

    def _recv(self, flags: int = 0) -> Optional[bytes]:
        """What was read: nothing at the end; None when there is nothing yet and it must not wait."""
        sock = self._connection.sock
        try:
            return sock.recv(_RECV, flags)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""
        except OSError:
            if sock.fileno() < 0:
                return b""  # a forked child that came back from the application: it has no part in this
            raise

    def _feed(self, data: bytes) -> bool:
        queue = self._connection.queue
        before = len(queue)
        try:
            self._connection.feed(data)
        except ProtocolError as error:
            self._error = str(error)
            self._close()
            return False
        self._received += max(0, len(queue) - before)
        return True

    def _park(self, me: Runner, idle: Optional[float]) -> bool:
        """Wait to be needed; False when the thread is to end."""
        with self._lock:
            if me.lead or self._long.openings or (self._connection.queue and self._helps()):
                return True
            if self._closed:
                if self._connection.aside:
                    self._long.open()
                    return True
                return False
            self._parked.append(me)
            if self._stopping:
                self._end_if_drained()
        if idle is None:
            me.gate.acquire()
        elif not me.gate.acquire(timeout=idle):
            with self._lock:
                if me in self._parked:
                    self._parked.remove(me)
                    return False
            me.gate.acquire()  # was just chosen; the release is on its way
        return True

    def _blocking(self, begins: bool) -> None:
        """The calling thread is about to wait for the socket's reader, so that must be another one; or has waited."""
        ident = threading.get_ident()
        with self._lock:
            me = self._long.runners.get(ident)
            if me is not None:
                me.waits = begins
            if not begins:
                self._progress = time.monotonic()
            elif self._leader.ident == ident and self._leader is not self._watcher:
                self._pass_lead()

    def _corked(self) -> bool:
        """Whether the caller flushes soon by itself: only the leader does, inline."""
        return self.inline and self._leader.ident == threading.get_ident()

    # Under _lock, on any thread.

    def _pass_lead(self) -> None:
        """Give the lead to another thread."""
        self._leader.lead.clear()
        if self._parked:
            heir = self._parked.pop()  # last in, first out
            self._give_lead(heir)
            heir.gate.release()
            return
        if self._count < self.most and not self._closed:
            heir = Runner()
            self._give_lead(heir)
            if self._start(heir):
                return
            heir.lead.clear()
        self._give_lead(self._watcher)
        self._progress = time.monotonic()
        self._call_watcher()

    def _start(self, runner: Runner) -> bool:
        """Start one more thread; False where the system has no more for us."""
        thread = threading.Thread(
            target=self._serve, args=(runner, self._idle_seconds), name="pyspeed-runner", daemon=True
        )
        self._count += 1
        try:
            thread.start()
        except RuntimeError:
            self._count -= 1
            return False
        self._started = [earlier for earlier in self._started if earlier.is_alive()]
        self._started.append(thread)
        return True

    def _wake_one(self) -> None:
        """Have a thread look for something to do besides leading, if there is one, or may be."""
        if self._parked:
            self._parked.pop().gate.release()
        elif self._count < self.most and not self._closed:
            self._start(Runner())

    def _give_lead(self, heir: Runner) -> None:
        heir.lead.append(True)
        self._leader = heir
        self._busy = True
        self._batch += 1
        self._turned = 0.0
        self._notice()

    def _notice(self) -> None:
        if self._watcher_sleeps:
            self._call_watcher()

    def _call_watcher(self) -> None:
        if not self._watcher_called:
            self._watcher_called = True
            self._watcher.gate.release()

    def _active(self) -> int:
        reading = 0 if self._busy or self._leader is self._watcher else 1
        return self._count - len(self._parked) - reading

    def _end_if_drained(self) -> None:
        connection = self._connection
        if self._busy or self._closed or self._active() or connection.queue or connection.aside or connection.partial:
            return
        if _readable(connection.sock):
            return  # the leader is about to read it, and looks again
        # What arrives before this is still read, and answered.
        self._end_reading()

    def _end_reading(self) -> None:
        """End the leader's recv."""
        try:
            self._connection.sock.shutdown(SHUT_RD)
        except OSError:
            pass

    # Not under _lock.

    def _close(self) -> None:
        """The socket has been read to its end: let every thread run what is queued, and end."""
        with self._lock:
            self._closed = self._long.closed = True
            self._leader.lead.clear()
            parked, self._parked[:] = list(self._parked), []
            self._call_watcher()
        for runner in parked:
            runner.gate.release()
        self._connection.abort_all()
        self._end_reading()

    # On the watcher's thread.

    def _watch(self) -> None:
        try:
            self._watch_or_read()
        except BaseException as error:
            self._error = "cannot go on serving: %r" % error
            self._close()

    def _watch_or_read(self) -> None:
        me = self._watcher
        me.ident = threading.get_ident()
        quiet = 0
        last = None
        unflushed = False
        while True:
            if me.lead:
                if not self._watcher_reads():
                    return
                quiet, last = 0, None
            with self._lock:
                if self._closed:
                    return
                # Whoever makes it busy again does so under the lock, and calls.
                watched = self._busy or unflushed or self._long.watched()
                self._watcher_sleeps = sleeps = quiet > _QUIET_TICKS and not watched
            called = me.gate.acquire() if sleeps else me.gate.acquire(timeout=self._tick)
            self._long.look()
            with self._lock:
                self._watcher_sleeps = False
                if called:
                    self._watcher_called = False
                if me.lead or self._closed:
                    continue
                if not self._busy:
                    quiet += 1
                    last = None
                else:
                    quiet = 0
                    now = (self._batch, len(self._connection.queue))
                    if now != last or self._feeding:
                        last = now
                        self._turned = 0.0
                    else:
                        self._take_lead()
                        unflushed = True
                        last = None
            if unflushed:
                # Never waits: the thread that is writing may be the one that is stalled.
                unflushed = not self._connection.flush(wait=False)

    def _take_lead(self) -> None:
        """The leader's request has outlived a tick. Under _lock."""
        if not self._turned:
            self._turned = time.monotonic() - self._tick
        if self.most > 1 and not self._long.suspect(self._leader):
            # Requests since the last look were short.
            self._share *= (1 - _DECAY) ** min(self._received - self._share_at, 10000)
            self._share_at = self._received
            self._share += (1 - self._share) * _DECAY
            if self._share >= _BLOCKING_SHARE:
                self.inline = False
        turned = self._turned
        self._pass_lead()
        if self.most == 1:
            self._turned = turned  # the only thread that serves still has not turned

    def _watcher_reads(self) -> bool:
        """Lead until there is a runner to take over; False at the end."""
        me = self._watcher
        while True:
            with self._lock:
                if self._connection.queue and self._parked:
                    self._pass_lead()
                    return True
                self._busy = False
                if self._stopping:
                    self._end_if_drained()
                waits = bool(self._connection.queue)
            if waits and not _readable(self._connection.sock, _CROWDED):
                self._tell_if_full()
                continue
            data = self._recv()
            if not data:
                self._close()
                return False
            if not self._feed(data):
                return False
            if not me.lead:
                return True

    def _tell_if_full(self) -> None:
        """Nothing has ended for a while, nor begun: other workers may have time for what waits."""
        with self._lock:
            since = time.monotonic() - self._progress
            full = self._connection.queue and self._leader is self._watcher and not self._parked
        if full and since * 1000 >= _CROWDED:
            self._long.full()


def _readable(sock: socket, wait: int = 0) -> bool:
    """Whether there is something to read, within ``wait`` milliseconds."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(wait))
    return bool(select.select([sock], [], [], wait / 1000)[0])
