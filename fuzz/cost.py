"""How many times as much an input costs as a genuine one. Measured in one process, so that the machine drops out."""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time_ns
from typing import Any

REPEATS = 7


class CostWatch:
    """Remembers the worst ratio.

    Args:
        genuine: A call whose cost is 1.
    """

    def __init__(self, genuine: Callable[[], Any]) -> None:
        self._genuine = genuine
        self._unit = min(_time(genuine) for _ in range(REPEATS))
        self.worst = 0.0

    def measure(self, call: Callable[[], Any]) -> None:
        """Call it, several times if it seems to be the worst so far."""
        if _time(call) > max(1.0, self.worst) * self._unit:
            # Whatever else the machine did made it longer, never shorter: only the shortest of some repeats counts.
            # The unit is measured again, in turn with it: the machine may be slower now than it was at the start.
            pairs = [(_time(self._genuine), _time(call)) for _ in range(REPEATS)]
            self._unit = min(unit for unit, _ in pairs)
            self.worst = max(self.worst, min(time for _, time in pairs) / self._unit)


def _time(call: Callable[[], Any]) -> int:
    # Of this thread: what the processor does for others meanwhile is not counted.
    started = thread_time_ns()
    call()
    return thread_time_ns() - started
