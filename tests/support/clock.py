"""A clock that tests can set."""

from __future__ import annotations


class Clock:
    """A clock that stands still at *now* until it is told otherwise."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
