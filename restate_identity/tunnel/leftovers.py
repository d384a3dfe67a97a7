"""Calls of the application that still run after their connection has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")


class Leftovers:
    """Tracks these calls, and cancels each one, once, if it does not end in time."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        # Only tasks that have not been cancelled yet.
        self._timers: dict[asyncio.Task[None], asyncio.TimerHandle] = {}

    def adopt(self, tasks: Iterable[asyncio.Task[None]], *, within: float) -> None:
        """Track *tasks*, which were notified of the disconnect, and cancel them after *within* seconds."""
        loop = asyncio.get_running_loop()
        for task in tasks:
            if task.done():
                continue
            if task not in self._tasks:
                self._tasks.add(task)
                task.add_done_callback(self._ended)
            elif (timer := self._timers.pop(task, None)) is not None:
                timer.cancel()
            else:
                continue  # already cancelled
            self._timers[task] = loop.call_later(within, self._cancel, task)

    async def end(self, *, within: float, farewell: float) -> None:
        """Wait until all calls have ended, and cancel those that are still running after *within* seconds.

        A call that ignores its cancellation is abandoned *farewell* seconds later.
        """
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=within)
        for task in list(self._timers):
            self._cancel(task)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=farewell)
        if self._tasks:
            logger.warning("tunnel: calls of the application still run after their cancellation: %d", len(self._tasks))

    def _cancel(self, task: asyncio.Task[None]) -> None:
        self._timers.pop(task).cancel()
        task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if (timer := self._timers.pop(task, None)) is not None:
            timer.cancel()
