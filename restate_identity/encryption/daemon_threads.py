"""Run blocking calls in a few threads that never hold up the end of the process.

Python waits for the threads of a `ThreadPoolExecutor` before it ends.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from restate_identity._fork import Lock, tell_of_forks

Result = TypeVar("Result")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class DaemonThreads:
    """At most *limit* threads, started when they are needed. A call whose caller is gone is not begun."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self.after_fork()
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Start anew: a forked process has none of the threads."""
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0

    async def run(self, function: Callable[[], Result]) -> Result:
        """Return the result of *function*. If this is cancelled, a call that has begun goes on."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._jobs.put((function, future))
            if self._idle:
                self._idle -= 1
            elif self._threads < self._limit:
                threading.Thread(
                    target=self._work, args=(self._jobs,), name="restate-identity-kms", daemon=True
                ).start()
                self._threads += 1
        return await future

    def _work(self, jobs: queue.SimpleQueue[_Job]) -> None:
        while True:
            function, future = jobs.get()
            if not future.cancelled():
                self._do(function, future)
            # Or the last job would be kept until the next one.
            del function, future
            with self._lock:
                if jobs.empty():
                    self._idle += 1

    def _do(self, function: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        result = error = None
        try:
            result = function()
        except BaseException as raised:  # noqa: BLE001 (it is raised where the result is awaited)
            error = raised
        try:
            future.get_loop().call_soon_threadsafe(_complete, future, result, error)
        except RuntimeError:
            pass  # the loop is closed, and nobody waits


def _complete(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
