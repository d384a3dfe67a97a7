"""Limit log lines: a token bucket that counts what it leaves out."""

from __future__ import annotations

from typing import NamedTuple


class LeftOut(NamedTuple):
    """How many lines were left out, and for how long."""

    lines: int
    seconds: float


class Allowance:
    """A token bucket: *burst* lines at once, then one every *interval* seconds, until a quiet time fills it again."""

    __slots__ = ("_count", "_credit", "_filled", "_full", "_interval", "_since")

    def __init__(self, burst: int, interval: float, now: float) -> None:
        # Credit is counted in seconds, to avoid rounding: a line costs one interval.
        self._interval = interval
        self._full = self._credit = burst * interval
        self._filled = now
        self._count = 0
        self._since = now

    def take(self, now: float) -> LeftOut | None:
        """Return the lines left out so far if a line is allowed now; else count this one and return None."""
        self._fill(now)
        if self._credit < self._interval:
            if not self._count:
                self._since = now
            self._count += 1
            return None
        self._credit -= self._interval
        left_out = LeftOut(self._count, now - self._since)
        self._count = 0
        return left_out

    def is_full(self, now: float) -> bool:
        """Return whether a quiet time has filled it, so that a new one would allow as much."""
        self._fill(now)
        return self._credit == self._full

    def _fill(self, now: float) -> None:
        # The difference first: it is exactly 0 in the same moment, whatever the clock says.
        self._credit = min(self._credit + (now - self._filled), self._full)
        self._filled = now
