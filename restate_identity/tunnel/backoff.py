"""Exponential back-off with jitter between dials of one target. This module only computes delays; it never sleeps."""

from __future__ import annotations

import random
from collections.abc import Callable

from restate_identity.tunnel.timings import TunnelTimings


class Backoff:
    """The back-off of one target: delays double up to a limit, and reset after a connection that served long enough.

    Each delay is multiplied by a random factor between 0.5 and 1.5, so that many tunnels that lost the same server do
    not reconnect at the same moment.

    Args:
        timings: ``backoff_first``, ``backoff_limit`` and ``steady``.
        chance: Returns a random number between 0 and 1.
    """

    def __init__(self, timings: TunnelTimings, *, chance: Callable[[], float] = random.random) -> None:
        self._timings = timings
        self._chance = chance
        self._next = timings.backoff_first

    def after_failure(self, served_for: float = 0.0) -> float:
        """Return how many seconds to wait after the end of a connection that served for *served_for* seconds."""
        if served_for > self._timings.steady:
            self._next = self._timings.backoff_first
        wait = self._next
        self._next = min(wait * 2, self._timings.backoff_limit)
        return wait * (0.5 + self._chance())

    def after_drain(self, served_for: float) -> float:
        """Return how many seconds to wait before dialling the replacement of a draining connection.

        The delay is 0 if the connection served for more than ``timings.steady`` seconds. Otherwise it backs off as
        after a failure, so that a server that drains every connection it accepts is not dialled in a tight loop.
        """
        if served_for <= self._timings.steady:
            return self.after_failure(served_for)
        self._next = self._timings.backoff_first
        return 0.0
