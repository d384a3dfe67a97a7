"""Write the client's log lines about requests that it could not forward, and limit them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from restate_identity._allowance import Allowance
from restate_identity.tunnel.client.origins import Origin

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")

# Each line is repeated only after so many seconds, with the number of those left out.
INTERVAL = 60.0
# More lines than these are not told apart. A request that is signed can name any number of hosts.
MOST = 256
_OTHERS = object()


class FailureLog:
    """Logs each failure once in a while.

    Args:
        clock: Returns seconds that never go backwards.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._allowances: dict[object, Allowance] = {}

    def refused(self, origin: Origin, why: str) -> None:
        """Log that *origin* must not be dialled, and how to allow it."""
        self._tell(
            ("refused", origin),
            "answers 403: %s is not to be dialled: %s. If it is yours, add --target %s",
            *(origin, why, origin),
        )

    def failed(self, origin: Origin, why: str) -> None:
        """Log that a request to *origin* failed."""
        self._tell(("failed", origin, why), "a request to %s failed: %s", origin, why)

    def malformed(self, why: str) -> None:
        """Log that a request cannot be forwarded."""
        self._tell(("malformed", why), "answers 400: %s", why)

    def caller(self, why: str) -> None:
        """Log that a remote proxy refused a request."""
        self._tell(("caller", why), "a remote proxy refused a request: %s", why)

    def _tell(self, key: object, message: str, *arguments: object) -> None:
        now = self._clock()
        if key not in self._allowances and len(self._allowances) >= MOST:
            known = self._allowances.items()
            self._allowances = {name: allowance for name, allowance in known if not allowance.is_full(now)}
            if len(self._allowances) >= MOST:
                key = _OTHERS
        left_out = self._allowances.setdefault(key, Allowance(1, INTERVAL, now)).take(now)
        if left_out is None:
            return
        more = f" ({left_out.lines} more times in the last {left_out.seconds:.0f} s)" if left_out.lines else ""
        logger.warning(f"tunnel client: {message}{more}", *arguments)
