"""Detect a server that has vanished without closing the connection, because it does not answer PINGs."""

from __future__ import annotations

from collections.abc import Callable

from restate_identity.tunnel.deadline import Deadline
from restate_identity.tunnel.timings import TunnelTimings

PING = b"alive?.."


class Watchdog:
    """Sends a PING to the server every ``timings.ping_every`` seconds, from `start` to `stop`.

    Args:
        timings: ``ping_every``, ``ping_answer`` and ``missed_pings``.
        ping: Sends a PING with the given eight bytes.
        on_silence: Called when ``missed_pings`` PINGs in a row were not answered, with their number.
    """

    def __init__(
        self, timings: TunnelTimings, *, ping: Callable[[bytes], None], on_silence: Callable[[int], None]
    ) -> None:
        self._timings = timings
        self._ping = ping
        self._on_silence = on_silence
        self._deadline = Deadline()
        self._missed = 0

    def start(self) -> None:
        """Schedule the next PING."""
        self._deadline.set(self._timings.ping_every, self._send)

    def stop(self) -> None:
        """Send no more PINGs."""
        self._deadline.cancel()

    def answered(self) -> None:
        """Handle the answer to a PING. A late one shows too that the server is alive."""
        self._missed = 0
        self.start()

    def _send(self) -> None:
        self._ping(PING)
        self._deadline.set(self._timings.ping_answer, self._overdue)

    def _overdue(self) -> None:
        self._missed += 1
        if self._missed >= self._timings.missed_pings:
            self._on_silence(self._missed)
        else:
            self._deadline.set(self._timings.ping_every - self._timings.ping_answer, self._send)
