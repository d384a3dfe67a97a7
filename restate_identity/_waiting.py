"""Wait so that no cancellation gets lost.

On Python 3.10 and 3.11, `asyncio.wait_for` returns as if it had not been cancelled if what it waits for is done in the
same moment; then whoever cancelled it may wait for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


async def limited(awaitable: Awaitable[Result], seconds: float) -> Result:
    """Return the result of *awaitable*, and cancel it after *seconds*. With 0, a coroutine runs until it first waits.

    A cancellation drops the result that is there in the same moment: what must be closed needs another owner.

    Raises:
        asyncio.TimeoutError: It was cancelled.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        await cancel(task)
        raise
    if not done:
        await cancel(task)
        if task.cancelled():
            raise asyncio.TimeoutError
    return task.result()


async def cut_short(awaitable: Awaitable[object]) -> None:
    """Let a coroutine run until it first waits, cancel it there, and wait until it has ended."""
    with suppress(asyncio.TimeoutError):
        await limited(awaitable, 0)


async def uninterrupted(awaitable: Awaitable[Result]) -> Result:
    """Return the result of *awaitable*. A cancellation, however often repeated, is raised when that has ended.

    anyio cancels again in every turn of the loop. What is waited for needs a limit of its own.
    """
    task = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            # anyio recognises its own one when it comes out.
            cancelled = cancelled or error
    if cancelled is not None:
        _drop(task)
        raise cancelled
    return task.result()


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel *tasks*, and wait until they have ended. What they raise is dropped, and does not get into the log."""
    for task in tasks:
        task.cancel()
        task.add_done_callback(_drop)
    await asyncio.wait(tasks)


def _drop(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
