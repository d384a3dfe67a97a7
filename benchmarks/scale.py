"""The sizes of a run: rounds, and calls in a round. The method is the same at every scale.

A sample takes only a few milliseconds. So its data stays in the processor's caches, as a request's data does in a
server, and most samples end before the system gives the processor to another process.
"""

from __future__ import annotations

from typing import NamedTuple


class Scale(NamedTuple):
    """The sizes of a run."""

    rounds: int
    turns: int
    """Turns in a round, for cases that take milliseconds."""
    fast: int
    """Calls in a sample, for cases that take about a microsecond."""
    slow: int
    """Calls in a sample, for cases with a signature check."""
    pool: int
    """Distinct tokens for the workload of new tokens."""
    threaded: int
    """New tokens shared by the threads of one sample."""
    recorded: int
    """Recorded requests that one sample replays."""
    per_second: int
    """Requests per second of the synthetic traffic over virtual objects."""
    seconds: int
    """Seconds of that traffic that one sample replays."""
    flood: int
    """Distinct valid tokens for the measurement of memory."""
    flood_cache: int
    """The size of the cache in that measurement."""
    starts: int
    """Rounds of starting interpreters: each takes as long as thousands of checks."""
    served: float
    """Seconds of load on an ASGI server in one sample."""


FULL = Scale(30, 3, 500, 100, 4000, 600, 10_000, 2000, 2, 1_000_000, 65_536, 30, 0.25)
QUICK = Scale(30, 1, 200, 20, 600, 100, 500, 200, 2, 30_000, 8192, 10, 0.03)
TINY = Scale(3, 2, 50, 5, 20, 8, 100, 20, 2, 600, 200, 3, 0.02)
