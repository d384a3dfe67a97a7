"""What a forked process must not take over from its parent: locks that another thread holds, and calls in flight."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Protocol
from weakref import WeakSet


class _Forked(Protocol):
    def after_fork(self) -> None: ...


# In this order: a lock may be needed to reset what has one.
_locks: WeakSet[Lock] = WeakSet()
_others: WeakSet[_Forked] = WeakSet()


def tell_of_forks(one: _Forked) -> None:
    """Call ``one.after_fork()`` in every process that is forked from this one."""
    _others.add(one)


class Lock:
    """A lock that is free in a forked process, whoever held it in the parent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._lock.release()

    def free(self) -> None:
        """Forget who holds it."""
        self._lock = threading.Lock()


def _in_the_child() -> None:
    for lock in list(_locks):
        lock.free()
    for one in list(_others):
        one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_the_child)
