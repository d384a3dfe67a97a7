"""Wait, in any event loop and thread, for what happens in another one; never for longer than a limit."""

from __future__ import annotations

import asyncio

from restate_identity._fork import Lock


class Waiters:
    """Those who wait for the same event. Each may leave on its own: by its limit, or because it is cancelled."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._futures: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._futures)

    def enter(self) -> asyncio.Future[None]:
        """Return a future of the running loop, to be passed to `wait`. From now on, `wake` completes it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._futures.add(future)
        return future

    async def wait(self, future: asyncio.Future[None], seconds: float | None) -> None:
        """Wait until *future* is completed, for at most *seconds*."""
        await asyncio.wait([future], timeout=seconds)

    def leave(self, future: asyncio.Future[None]) -> None:
        """Let go of *future*."""
        with self._lock:
            self._futures.discard(future)

    def wake(self) -> None:
        """Complete the futures of all who wait, from any thread."""
        with self._lock:
            futures, self._futures = self._futures, set()
        for future in futures:
            try:
                future.get_loop().call_soon_threadsafe(_complete, future)
            except RuntimeError:
                pass  # its loop was closed, and nobody waits there any more


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
