"""SIGTERM and SIGINT: the first asks for a stop, the next one for an end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Calls *on_stop* for each of the signals, in the event loop, for the time of a ``with`` block.

    The handler is one of Python's, not of the loop: the Restate SDK takes the loop's handler for SIGTERM when the first
    request comes in. With this one both are called. `hold` puts it back.

    Raises:
        RuntimeError: This is not the main thread, which alone may handle signals.
    """

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self._loop = asyncio.get_running_loop()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        try:
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        except ValueError:
            raise RuntimeError(
                "serve_tunnel handles signals, which only the main thread can: use connect_tunnel here"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)

    def hold(self) -> None:
        """Be the handler again, if somebody else became it."""
        for number in _SIGNALS:
            # A bound method is a new object each time.
            if signal.getsignal(number) != self._handle:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the interface of signal)
        self._loop.call_soon_threadsafe(self._on_stop)
