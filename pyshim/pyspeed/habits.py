"""What takes long, by method and path: so that the threads need not find it out anew with each request.

In: what the threads saw of requests that took long. Out: what to expect of the next one of the kind. Nothing here is
needed for a right answer; a wrong guess costs time.

A request's kind is its method and the shape of its path, in which every segment with a digit stands for all such:
``/items/17`` is of the kind of ``/items/4``. A kind that waits (for a database, another server) is run beside the
others from its start. One that computes is, too, but only as many at once as the interpreter has time for.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

# Running a request beside the others costs some 50 µs, a stall of the others 5 ms: it pays while one of so many of
# its kind takes long.
_FORGET_AFTER = 100
_UNSURE = 4
_FREE = 3  # a system call takes some time without the GIL too
_KINDS_MOST = 256
_NAMES_MOST = 4096


class Habit:
    """What is known of one kind of requests. All fields under the lock of :class:`Habits`."""

    __slots__ = ("shape", "computes", "free", "left")

    def __init__(self, shape: str) -> None:
        self.shape = shape
        self.computes = False  # besides waiting, when last seen
        self.free = 0  # how often, of late, it was seen to compute without the GIL, less how often with it
        self.left = _FORGET_AFTER  # short ones of the kind until it is forgotten


class Habits:
    """The kinds of requests that take long."""

    def __init__(self) -> None:
        self.any = False  # whether there are any: looking at it is all that the others pay
        self._lock = threading.Lock()
        self._kinds: Dict[str, Habit] = {}  # by shape
        self._names: Dict[str, Optional[Habit]] = {}  # by method and path as they came; a cache

    def of(self, head: Dict[str, Any]) -> Optional[Habit]:
        """What is known of requests with such a head; None: they are short."""
        name = head["REQUEST_METHOD"] + head["PATH_INFO"]
        try:
            return self._names[name]
        except KeyError:
            pass
        with self._lock:
            if len(self._names) >= _NAMES_MOST:
                self._names.clear()
            habit = self._names[name] = self._kinds.get(shape(name))
        return habit

    def took_long(self, head: Dict[str, Any], computes: bool, sure: bool = True) -> Optional[Habit]:
        """Note that a request takes long, computing or waiting; not ``sure``: it may just have got no core."""
        name = shape(head["REQUEST_METHOD"] + head["PATH_INFO"])
        with self._lock:
            habit = self._kinds.get(name)
            if habit is None:
                if len(self._kinds) >= _KINDS_MOST:
                    return None  # whatever they have in common is not the path
                habit = self._kinds[name] = Habit(name)
                self._names.clear()
                self.any = True
                habit.left = _UNSURE
            if sure:
                habit.computes = computes and habit.free < _FREE
                habit.left = _FORGET_AFTER
            return habit

    def took(self, habit: Habit, long: bool, computed: bool) -> None:
        """Note how a request of a kind was."""
        with self._lock:
            if long:
                habit.computes = computed and habit.free < _FREE
            habit.left = _FORGET_AFTER if long else habit.left - 1
            if habit.left <= 0 and self._kinds.get(habit.shape) is habit:
                self._forget(habit)

    def saw(self, habit: Habit, free: bool) -> None:
        """Note whether a request of a kind was seen to compute without the GIL; then it may as well be said to wait."""
        with self._lock:
            habit.free = min(habit.free + 1, 2 * _FREE) if free else max(habit.free - 1, 0)

    def _forget(self, habit: Habit) -> None:
        del self._kinds[habit.shape]
        self._names.clear()
        self.any = bool(self._kinds)


def shape(name: str) -> str:
    """A method and path without what tells one thing from another of its kind."""
    if name.isalpha():
        return name
    return "/".join(
        "*" if len(part) > 40 or not part.isascii() or any(map(str.isdigit, part)) else part for part in name.split("/")
    )
