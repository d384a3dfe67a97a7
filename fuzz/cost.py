"""How many times as much an input costs as a genuine one. Measured in one process, so that the machine drops out."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

REPEATS = 7


class CostWatch:
    """Remembers the worst ratio.

    Args:
        genuine: A call whose cost is 1.
    """

    def __init__(self, genuine: Callable[[], Any]) -> None:
        self._genuine = genuine
        self._unit = _shortest(genuine)
        self.worst = 0.0

    def measured(self, call: Callable[[], Any]) -> Any:
        """Call it, and return what it returns."""
        started = perf_counter_ns()
        outcome = call()
        if perf_counter_ns() - started > max(1.0, self.worst) * self._unit:
            # Whatever else the machine did made it longer, never shorter: only the shortest of some repeats counts.
            # The unit is measured again, beside it: the machine may be slower now than it was at the start.
            self._unit = _shortest(self._genuine)
            self.worst = max(self.worst, _shortest(call) / self._unit)
        return outcome


def _shortest(call: Callable[[], Any]) -> int:
    times = []
    for _ in range(REPEATS):
        started = perf_counter_ns()
        call()
        times.append(perf_counter_ns() - started)
    return min(times)
