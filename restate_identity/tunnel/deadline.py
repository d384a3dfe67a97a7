"""A timer that can be set anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """At most one call in the future."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call *callback* after so many seconds, in place of what was set before."""
        self.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._due, callback)

    def cancel(self) -> None:
        """Call nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def is_set(self) -> bool:
        """Whether a call is still to come."""
        return self._timer is not None

    def _due(self, callback: Callable[[], object]) -> None:
        self._timer = None
        callback()
