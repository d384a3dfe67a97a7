"""How long to wait before a target is dialled again. Nothing here sleeps."""

from __future__ import annotations

import random
from collections.abc import Callable

from restate_identity.tunnel.timings import TunnelTimings


class Backoff:
    """The waits of one target: they double up to a limit, and start anew after a connection that served well.

    Each is multiplied with a random factor between 0.5 and 1.5, so that many tunnels that lost the same server do not
    come back at the same moment.

    Args:
        timings: ``backoff_first``, ``backoff_limit`` and ``steady``.
        chance: Returns a random number between 0 and 1.
    """

    def __init__(self, timings: TunnelTimings, *, chance: Callable[[], float] = random.random) -> None:
        self._timings = timings
        self._chance = chance
        self._next = timings.backoff_first

    def after_failure(self, served_for: float = 0.0) -> float:
        """Return the seconds to wait after a connection ended that had served for *served_for* seconds."""
        if served_for >= self._timings.steady:
            self._next = self._timings.backoff_first
        wait = self._next
        self._next = min(wait * 2, self._timings.backoff_limit)
        return wait * (0.5 + self._chance())

    def after_drain(self, served_for: float) -> float:
        """Return the seconds to wait before the replacement of a connection that is to drain: none, if it served well.

        A server that drains whatever it accepts is not dialled again and again.
        """
        if served_for < self._timings.steady:
            return self.after_failure(served_for)
        self._next = self._timings.backoff_first
        return 0.0
