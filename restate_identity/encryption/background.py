"""One event loop, in a daemon thread of its own, for the calls to key providers of all codecs of this process.

A provider is called from there, because the event loop in which a value is read may end (`asyncio.run`, AWS Lambda),
may be one of several, or may be held up by a provider that blocks. The thread starts at the first call, never holds up
the end of the process, and starts again in a forked process, which has no threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from restate_identity._fork import Lock, tell_of_forks
from restate_identity.encryption.asking import unavailable

Result = TypeVar("Result")
Call = Callable[[], Coroutine[Any, Any, Result]]


class _Background:
    def __init__(self) -> None:
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        # A forked process must not close the loop that it inherited: the selector is also its parent's.
        self._inherited: list[asyncio.AbstractEventLoop] = []
        tell_of_forks(self)

    def run(self, call: Call[Result]) -> Future[Result]:
        with self._lock:
            if self._loop is None:
                try:
                    self._loop = _started()
                except (OSError, RuntimeError) as error:
                    raise unavailable(f"no thread can be started to ask the key provider: {error}") from None
            return asyncio.run_coroutine_threadsafe(call(), self._loop)

    def after_fork(self) -> None:
        if self._loop is not None:
            self._inherited.append(self._loop)
            self._loop = None


def _started() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    try:
        threading.Thread(target=_run, args=(loop,), name="restate-identity-keys", daemon=True).start()
    except RuntimeError:
        loop.close()
        raise
    return loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
        except BaseException:  # noqa: BLE001, S110 (a SystemExit in a task of one provider must not end the calls of all)
            pass


_background = _Background()


def in_background(call: Call[Result]) -> Future[Result]:
    """Run the coroutine that *call* returns in the event loop of the background. To cancel the future cancels it.

    Raises:
        EncryptionError: No thread can be started: the interpreter ends, or there are no more descriptors.
    """
    return _background.run(call)
