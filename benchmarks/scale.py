"""How much is measured: rounds, and calls in a round. The method is the same at every scale.

A sample is short, a few milliseconds: what it works on stays in the processor's caches, as a request's data does in a
server, and most samples are over before the system gives the processor to somebody else.
"""

from __future__ import annotations

from typing import NamedTuple


class Scale(NamedTuple):
    """The sizes of a run."""

    rounds: int
    turns: int
    """Turns in a round, of what takes milliseconds."""
    fast: int
    """Calls in a sample of what takes about a microsecond."""
    slow: int
    """Calls in a sample of what costs a signature check."""
    pool: int
    """Distinct tokens that are signed for the workload of new ones."""
    threaded: int
    """New tokens that the threads of one sample share."""
    recorded: int
    """Requests of the recording that one sample replays."""
    per_second: int
    """Requests a second of the made-up traffic over virtual objects."""
    seconds: int
    """How many seconds of it one sample replays."""
    flood: int
    """Distinct valid tokens that the memory is measured over."""
    flood_cache: int
    """The size of the cache meanwhile."""
    starts: int
    """Rounds of starting interpreters: each takes as long as thousands of checks."""
    served: float
    """Seconds of load on an ASGI server in one sample."""


FULL = Scale(30, 3, 500, 100, 4000, 600, 10_000, 2000, 2, 1_000_000, 65_536, 30, 0.25)
QUICK = Scale(30, 1, 200, 20, 600, 100, 500, 200, 2, 30_000, 8192, 10, 0.03)
TINY = Scale(3, 2, 50, 5, 20, 8, 100, 20, 2, 600, 200, 3, 0.05)
