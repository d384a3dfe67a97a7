"""The log lines of the guard, so few that a flood of hostile requests cannot fill a disk.

Of each reason, `BURST` refusals are logged as they come, and from then on one in `INTERVAL` seconds; what was left out
is counted and said. The reasons do not share this allowance: a flood of one kind hides no other. While it is attacked,
a guard writes for each reason at most 8,640 refusals a day, of less than 1 KiB each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from restate_identity._quoting import quoted
from restate_identity.errors import Reason, VerificationError

if TYPE_CHECKING:
    from logging import Logger

BURST = 100
INTERVAL = 10.0
FAILURE_INTERVAL = 600.0


class RefusalLog:
    """Writes what one guard refuses to the logger ``restate_identity``. Thread-safe.

    Args:
        burst: How many refusals of each reason are logged as they come.
        clock: Returns seconds that never go backwards.
    """

    def __init__(self, *, burst: int = BURST, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        now = clock()
        self._allowances = {reason: _Allowance(burst, INTERVAL, now) for reason in Reason}
        self._failures = _Allowance(1, FAILURE_INTERVAL, now)

    def refused(self, path: object, error: VerificationError) -> None:
        """Log one refusal, or count it."""
        with self._lock:
            left_out = self._allowances[error.reason].take(self._clock())
        if left_out is None:
            return
        if left_out.lines:
            _logger().warning(
                "left out %d more refusals for the reason %s in the last %.0f s",
                left_out.lines,
                error.reason,
                left_out.seconds,
            )
        signed_by = f" (kid {error.kid})" if error.kid is not None and error.kid not in error.hint else ""
        _logger().warning(
            "refused a request to %s: %s%s",
            "no path" if path is None else quoted(path, limit=200),
            error,
            signed_by,
            extra={"restate_reason": str(error.reason), "restate_kid": error.kid},
        )

    def observer_failed(self, error: Exception) -> None:
        """Log what an observer raised, with its traceback; or leave it out."""
        with self._lock:
            left_out = self._failures.take(self._clock())
        if left_out is not None:
            more = f"; {left_out.lines} more failures were left out before" if left_out.lines else ""
            _logger().error("the observer failed, which changes nothing for the request%s", more, exc_info=error)


def _logger() -> Logger:
    # Only here: it takes a fifth of the time that importing this library does.
    import logging

    return logging.getLogger("restate_identity")


class _LeftOut(NamedTuple):
    """How many lines were left out, and for how long."""

    lines: int
    seconds: float


class _Allowance:
    """A token bucket: *burst* lines at once, then one every *interval* seconds, until a quiet time fills it again."""

    __slots__ = ("_count", "_credit", "_filled", "_full", "_interval", "_since")

    def __init__(self, burst: int, interval: float, now: float) -> None:
        # In seconds, so that adding them up rounds nothing: a line costs an interval.
        self._interval = interval
        self._full = self._credit = burst * interval
        self._filled = now
        self._count = 0
        self._since = now

    def take(self, now: float) -> _LeftOut | None:
        """Return what was left out before, if there may be a line now; count one more and return None if not."""
        self._credit = min(self._credit + now - self._filled, self._full)
        self._filled = now
        if self._credit < self._interval:
            if self._count == 0:
                self._since = now
            self._count += 1
            return None
        self._credit -= self._interval
        left_out = _LeftOut(self._count, now - self._since)
        self._count = 0
        return left_out
