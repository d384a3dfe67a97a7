"""Write the guard's log lines, and limit them, so that a flood of hostile requests cannot fill a disk.

For each reason, the first `BURST` refusals are logged, and then one every `INTERVAL` seconds, with the number of those
left out. Each reason has its own allowance, so a flood of one reason does not hide the others. Under attack, a guard
logs at most 8,640 refusals a day for each reason, of less than 1 KiB each.
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
    """Logs the refusals of one guard with the logger ``restate_identity``. Thread-safe.

    Args:
        burst: How many refusals with the same reason to log before the limit applies.
        clock: Returns seconds that never go backwards.
    """

    def __init__(self, *, burst: int = BURST, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        now = clock()
        self._allowances = {reason: _Allowance(burst, INTERVAL, now) for reason in Reason}
        self._failures = _Allowance(1, FAILURE_INTERVAL, now)

    def refused(self, path: object, error: VerificationError) -> None:
        """Log one refusal, or count it if it exceeds the limit."""
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
        """Log an observer's exception with its traceback, unless the limit is reached."""
        with self._lock:
            left_out = self._failures.take(self._clock())
        if left_out is not None:
            more = f"; {left_out.lines} more failures were left out before" if left_out.lines else ""
            _logger().error("the observer failed, which changes nothing for the request%s", more, exc_info=error)


def _logger() -> Logger:
    # Imported on first use: it takes a fifth of the import time of this library.
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
        # Credit is counted in seconds, to avoid rounding: a line costs one interval.
        self._interval = interval
        self._full = self._credit = burst * interval
        self._filled = now
        self._count = 0
        self._since = now

    def take(self, now: float) -> _LeftOut | None:
        """Return the lines left out so far if a line is allowed now; else count this one and return None."""
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
