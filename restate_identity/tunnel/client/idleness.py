"""Notice that a connection has not been used for a while, at the cost of one timer, not of one for each request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Idleness:
    """Calls *on_idle* when `begin` was last called *seconds* ago. The caller must check whether it is still idle.

    Args:
        seconds: How long the connection may be idle.
        on_idle: Called at most once after each `begin`.
    """

    def __init__(self, seconds: float, on_idle: Callable[[], None]) -> None:
        self._seconds = seconds
        self._on_idle = on_idle
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Note that the connection is idle from now on."""
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._due)

    def end(self) -> None:
        """Stop for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._since + self._seconds - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._due)
        else:
            self._timer = None
            self._on_idle()
