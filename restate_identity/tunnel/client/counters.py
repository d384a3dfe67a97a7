"""What the client counts, for the metrics."""

from __future__ import annotations

from collections import Counter

from restate_identity.tunnel.client.exchange import ExchangeError


class Counters:
    """Counts of requests: of the forwarded ones that were verified, or of a remote proxy. It is a `Watch`.

    Attributes:
        requests: How many were answered, by status.
        refused_targets: How many named a target that is not in the allow-list; each was answered with 403.
        resets: How many responses were reset after they had begun, because the target failed.
        failures: How many attempts failed; some were repeated.
    """

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.refused_targets: int = 0
        self.resets: int = 0
        self.failures: int = 0

    def answered(self, status: int) -> None:
        """Count a response that was begun."""
        self.requests[status] += 1

    def broken(self) -> None:
        """Count a response that was reset after it was begun."""
        self.resets += 1

    def failed(self, error: ExchangeError) -> None:  # noqa: ARG002 (the interface of a watch)
        """Count an attempt that failed."""
        self.failures += 1
