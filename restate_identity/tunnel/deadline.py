"""A restartable timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """A timer with at most one pending callback."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call *callback* after *seconds*. This replaces a callback that is still pending."""
        self.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._due, callback)

    def cancel(self) -> None:
        """Cancel the pending callback, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def is_set(self) -> bool:
        """Whether a callback is pending."""
        return self._timer is not None

    def _due(self, callback: Callable[[], object]) -> None:
        self._timer = None
        callback()
