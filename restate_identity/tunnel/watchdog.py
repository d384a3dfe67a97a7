"""Finds a server that has vanished without a word: it does not answer pings."""

from __future__ import annotations

from collections.abc import Callable

from restate_identity.tunnel.deadline import Deadline
from restate_identity.tunnel.timings import TunnelTimings

PING = b"alive?.."


class Watchdog:
    """Pings the server of one connection every ``timings.ping_every`` seconds, from `start` to `stop`.

    Args:
        timings: ``ping_every``, ``ping_answer`` and ``missed_pings``.
        ping: Sends a ping with these eight bytes.
        on_silence: Called with the number of pings in a row that were not answered, when they are too many.
    """

    def __init__(
        self, timings: TunnelTimings, *, ping: Callable[[bytes], None], on_silence: Callable[[int], None]
    ) -> None:
        self._timings = timings
        self._ping = ping
        self._on_silence = on_silence
        self._deadline = Deadline()
        self._waits_for_answer = False
        self._missed = 0

    def start(self) -> None:
        """Begin to look after the server."""
        self._deadline.set(self._timings.ping_every, self._send)

    def stop(self) -> None:
        """Ping no more."""
        self._deadline.cancel()

    def answered(self) -> None:
        """The server has answered a ping."""
        if self._waits_for_answer:
            self._waits_for_answer = False
            self._missed = 0
            self.start()

    def _send(self) -> None:
        self._waits_for_answer = True
        self._ping(PING)
        self._deadline.set(self._timings.ping_answer, self._overdue)

    def _overdue(self) -> None:
        self._waits_for_answer = False
        self._missed += 1
        if self._missed >= self._timings.missed_pings:
            self._on_silence(self._missed)
        else:
            self._deadline.set(max(self._timings.ping_every - self._timings.ping_answer, 0), self._send)
