"""Measure the cost of an input as a multiple of a genuine one, in one process, so that the machine does not matter."""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time_ns
from typing import Any

REPEATS = 7


class CostWatch:
    """Remembers the worst ratio.

    Args:
        genuine: A call whose cost is the unit.
    """

    def __init__(self, genuine: Callable[[], Any]) -> None:
        self._genuine = genuine
        self._unit = min(_time(genuine) for _ in range(REPEATS))
        self.worst = 0.0

    def measure(self, call: Callable[[], Any]) -> None:
        """Measure a call; repeat it if it seems to be the most expensive one so far."""
        if _time(call) > max(1.0, self.worst) * self._unit:
            # Other work on the machine can only make a call slower, so the fastest of several repeats counts.
            # Measure the unit again in turn with the call: the machine may be slower now than at the start.
            pairs = [(_time(self._genuine), _time(call)) for _ in range(REPEATS)]
            self._unit = min(unit for unit, _ in pairs)
            self.worst = max(self.worst, min(time for _, time in pairs) / self._unit)


def _time(call: Callable[[], Any]) -> int:
    # The time of this thread only, without other threads and processes.
    started = thread_time_ns()
    call()
    return thread_time_ns() - started
