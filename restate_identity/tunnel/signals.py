"""Handle SIGTERM and SIGINT in the event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Inside a ``with`` block, calls *on_stop* in the event loop for each SIGTERM and SIGINT.

    The handler is set with `signal.signal`, not in the event loop, because the Restate SDK replaces the loop's handler
    for SIGTERM when the first request arrives. This way both are called. `hold` sets the handler again.

    Several instances may be active, for instance for several tunnels in one process: a signal reaches all of them. The
    previous handlers are restored when the last one exits.

    Raises:
        RuntimeError: This is not the main thread; only that may handle signals.
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
        """Set our handler again if other code replaced it. Does nothing outside the block."""
        if self not in _held:
            return
        for number in _SIGNALS:
            if signal.getsignal(number) is not _handle:
                signal.signal(number, _handle)

    def notify(self) -> None:
        """Schedule a call of *on_stop* in the event loop. Safe in a signal handler."""
        # RuntimeError: the loop is closed, so there is nothing to stop.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._on_stop)


# A process has one handler for each signal, so this state is global too.
_held: list[StopSignals] = []
_before: dict[signal.Signals, Any] = {}


def _handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the interface of signal)
    for signals in tuple(_held):
        signals.notify()
