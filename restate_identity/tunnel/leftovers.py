"""Calls of the application whose connection is gone, and which have not ended yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")


class Leftovers:
    """Knows them all, and cancels, once, what does not end by itself."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        # Of those that were not cancelled yet.
        self._timers: dict[asyncio.Task[None], asyncio.TimerHandle] = {}

    def adopt(self, tasks: Iterable[asyncio.Task[None]], *, within: float) -> None:
        """Look after *tasks*, which were told that their requests are gone: cancel them after so many seconds."""
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
                continue  # it was cancelled before
            self._timers[task] = loop.call_later(within, self._cancel, task)

    async def end(self, *, within: float, farewell: float) -> None:
        """Return when all have ended: by themselves within so many seconds, or else because they were cancelled.

        What goes on all the same is given up after *farewell* seconds more.
        """
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=max(within, 0))
        for task in list(self._timers):
            self._cancel(task)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=farewell)
        if self._tasks:
            logger.warning("tunnel: calls of the application go on although they were cancelled: %d", len(self._tasks))

    def _cancel(self, task: asyncio.Task[None]) -> None:
        self._timers.pop(task).cancel()
        task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if (timer := self._timers.pop(task, None)) is not None:
            timer.cancel()
