"""What the client counts, for the metrics."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Counts of the requests that were verified.

    Attributes:
        requests: How many were answered, by status.
        refused_targets: How many named a target that is not in the allow-list; each was answered with 403.
        broken: How many responses were reset after they had begun, because the target failed.
    """

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.refused_targets: int = 0
        self.broken: int = 0
