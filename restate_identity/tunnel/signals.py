"""SIGTERM and SIGINT: the first asks for a stop, the next one for an end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Calls *on_stop* for each of the signals, in the event loop, for the time of a ``with`` block.

    The handler is one of Python's, not of the loop: the Restate SDK takes the loop's handler for SIGTERM when the first
    request comes in. With this one both are called. `hold` puts it back.

    Several may be held at the same time, as by several tunnels in one process: a signal reaches all of them. The
    handlers that were there before the first are put back after the last.

    Raises:
        RuntimeError: This is not the main thread, which alone may handle signals.
    """

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> StopSignals:
        try:
            before = {number: signal.signal(number, _handle) for number in _SIGNALS}
        except ValueError:
            raise RuntimeError(
                "serve_tunnel handles signals, which only the main thread can: use connect_tunnel here"
            ) from None
        if not _held:
            _before.update(before)
        _held.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _held.remove(self)
        if not _held:
            for number, before in _before.items():
                signal.signal(number, signal.SIG_DFL if before is None else before)

    def hold(self) -> None:
        """Be the handler again, if somebody else became it; after the block nothing happens."""
        if self not in _held:
            return
        for number in _SIGNALS:
            if signal.getsignal(number) is not _handle:
                signal.signal(number, _handle)

    def notify(self) -> None:
        """Have *on_stop* called."""
        # A loop that is closed has nothing left to stop.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._on_stop)


# A process has one handler for each signal, so there is one such state for all of it, too.
_held: list[StopSignals] = []
_before: dict[signal.Signals, Any] = {}


def _handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the interface of signal)
    for signals in tuple(_held):
        signals.notify()
