"""The last PING of a connection. When its answer arrives, everything that the server sent before it has arrived too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from restate_identity.tunnel.deadline import Deadline
from restate_identity.tunnel.wire import Wire

PING = b"goodbye."


class Goodbye:
    """Makes sure that the server has seen our GOAWAY, and that no request is on its way, before a connection is closed.

    Args:
        wire: The connection.
        patience: How many seconds the server has to answer the PING.
        is_idle: Returns whether no request is in flight.
        on_seen: Called when the server has answered and no request is in flight.
        on_silence: Called when the server does not answer.
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

    def say_if_idle(self) -> None:
        """Send the PING, unless a request is in flight or the last PING is still unanswered."""
        if self._is_idle() and not self._deadline.is_set:
            self._wire.output.ping(PING)
            self._wait()

    def answered(self) -> None:
        """Handle the server's answer. If requests are in flight by now, another PING follows after them."""
        if self._deadline.is_set:
            self._deadline.cancel()
            if self._is_idle():
                self._on_seen()

    def cancel(self) -> None:
        """Stop waiting for the answer."""
        self._deadline.cancel()

    def _wait(self) -> None:
        began = asyncio.get_running_loop().time()
        self._deadline.set(self._patience, lambda: self._overdue(began))

    def _overdue(self, began: float) -> None:
        if not self._is_idle():
            return
        if self._wire.output.unsent or self._wire.heard_at > began:
            # A slow server is still reading responses, or the data before our PING. The grace period limits this wait.
            self._wait()
        else:
            self._on_silence()
