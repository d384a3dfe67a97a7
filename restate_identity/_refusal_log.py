"""Write the guard's log lines, and limit them, so that a flood of hostile requests cannot fill a disk.

For each reason, the first `BURST` refusals are logged, and then one every `INTERVAL` seconds, with the number of those
left out. Each reason has its own allowance, so a flood of one reason does not hide the others. Under attack, a guard
logs at most 8,640 refusals a day for each reason, of less than 1 KiB each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from restate_identity._allowance import Allowance
from restate_identity._fork import Lock
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
        self._lock = Lock()
        now = clock()
        self._allowances = {reason: Allowance(burst, INTERVAL, now) for reason in Reason}
        self._failures = Allowance(1, FAILURE_INTERVAL, now)

    def refused(self, path: object, error: VerificationError) -> None:
        """Log one refusal, or count it if it exceeds the limit."""
        with self._lock:
            left_out = self._allowances[error.reason].take(self._clock())
        if left_out is None:
            return
        # A filter or a handler that raises must not change what becomes of the request.
        with suppress(Exception):
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
            with suppress(Exception):
                _logger().error("the observer failed, which changes nothing for the request%s", more, exc_info=error)


def _logger() -> Logger:
    # Imported on first use: it takes a fifth of the import time of this library.
    import logging

    return logging.getLogger("restate_identity")
