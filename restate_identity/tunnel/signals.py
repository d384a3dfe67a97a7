"""Run until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def run_until_signalled(
    run: Callable[[asyncio.Event], Coroutine[Any, Any, None]], logger: logging.Logger, subject: str
) -> None:
    """Run *run*. The first signal sets the event that it is called with; the second signal cancels it.

    The handler is set with `signal.signal`, not in the event loop, because the Restate SDK replaces the loop's handler
    for SIGTERM when the first request arrives. This way both are called. `hold_signals` sets the handler again.

    Several calls may run at a time, for instance for several tunnels in one process: a signal reaches all of them. The
    previous handlers are restored when the last one returns.

    Args:
        run: Stops when the event is set, and lets requests in flight finish.
        logger: Gets a line for each signal.
        subject: The name of what runs, for the log.

    Raises:
        RuntimeError: This is not the main thread; only that may handle signals.
    """
    forced = False

    def on_signal() -> None:
        nonlocal forced
        if not stopping.is_set():
            message = "%s: stopping; requests in flight may finish, and a second signal ends them at once"
            logger.info(message, subject)
            stopping.set()
        else:
            forced = True
            running.cancel()

    stopping = asyncio.Event()
    with _handled(on_signal):
        running = asyncio.ensure_future(run(stopping))
        try:
            await running
        except asyncio.CancelledError:
            if not forced:
                raise
            logger.warning("%s: ended by a second signal", subject)


def hold_signals() -> None:
    """Set our handler again if other code replaced it while `run_until_signalled` runs."""
    if _running:
        for number in _SIGNALS:
            if signal.getsignal(number) is not _handle:
                signal.signal(number, _handle)


@contextmanager
def _handled(on_signal: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    try:
        before = {number: signal.signal(number, _handle) for number in _SIGNALS}
    except ValueError:
        raise RuntimeError(
            "serve_tunnel handles signals, which only the main thread can: use connect_tunnel here"
        ) from None
    if not _running:
        _before.update(before)
    entry = (loop, on_signal)
    _running.append(entry)
    try:
        yield
    finally:
        _running.remove(entry)
        if not _running:
            for number, previous in _before.items():
                signal.signal(number, signal.SIG_DFL if previous is None else previous)


# A process has one handler for each signal, so this state is global too.
_running: list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = []
_before: dict[signal.Signals, Any] = {}


def _handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the interface of signal)
    for loop, on_signal in tuple(_running):
        # RuntimeError: the loop is closed, so there is nothing to stop.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(on_signal)
