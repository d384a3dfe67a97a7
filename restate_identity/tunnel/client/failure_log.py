"""Write the client's log lines about requests that it could not forward, and limit them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from restate_identity.tunnel.client.origins import Origin

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")

# Each line is repeated only after so many seconds, with the number of those left out.
INTERVAL = 60.0
# More lines than these are not told apart. A request that is signed can name any number of hosts.
MOST = 256


class FailureLog:
    """Logs each failure once in a while.

    Args:
        clock: Returns seconds that never go backwards.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[object, tuple[float, int]] = {}

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
        if key not in self._last and len(self._last) >= MOST:
            self._last = {known: value for known, value in self._last.items() if now - value[0] < INTERVAL}
            if len(self._last) >= MOST:
                key = "more"
        since, left_out = self._last.get(key, (now - INTERVAL, 0))
        if now - since < INTERVAL:
            self._last[key] = (since, left_out + 1)
            return
        self._last[key] = (now, 0)
        more = f" ({left_out} more times in the last {now - since:.0f} s)" if left_out else ""
        logger.warning(f"tunnel client: {message}{more}", *arguments)
