"""The last ping of a connection: what the server sent before it answers that is here by then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from restate_identity.tunnel.deadline import Deadline
from restate_identity.tunnel.wire import Wire

PING = b"goodbye."


class Goodbye:
    """Waits until the server has seen that this is the end.

    Args:
        wire: The connection.
        patience: Seconds for the answer to the ping.
        is_idle: Returns whether nothing is in flight.
        on_seen: Called when the server has answered and nothing is in flight.
        on_silence: Called when it does not answer.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        patience: float,
        is_idle: Callable[[], bool],
        on_seen: Callable[[], None],
        on_silence: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._patience = patience
        self._is_idle = is_idle
        self._on_seen = on_seen
        self._on_silence = on_silence
        self._deadline = Deadline()
        self._began = 0.0

    def say_if_idle(self) -> None:
        """Send the ping, unless something is in flight, or it was sent already."""
        if self._is_idle() and not self._deadline.is_set:
            self._wire.output.ping(PING)
            self._wait()

    def answered(self) -> None:
        """The server has answered the ping. If more is in flight by now, it is sent again when that has finished."""
        if self._deadline.is_set:
            self._deadline.cancel()
            if self._is_idle():
                self._on_seen()

    def cancel(self) -> None:
        """Wait no more."""
        self._deadline.cancel()

    def _wait(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._deadline.set(self._patience, self._overdue)

    def _overdue(self) -> None:
        if not self._is_idle():
            return
        if self._wire.output.unsent or self._wire.heard_at > self._began:
            # A slow server still takes answers, or what is before our ping. The grace limits that.
            self._wait()
        else:
            self._on_silence()
