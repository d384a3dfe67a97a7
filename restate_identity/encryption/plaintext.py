"""Accept plaintext until a declared time: for what is stored already, and for callers that cannot encrypt yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from restate_identity.encryption import frames
from restate_identity.encryption.log import EncryptionLog, logger

LONGEST = 366 * 86400.0
"""The most distant end, in seconds from now: a migration ends, and a time in milliseconds is a mistake."""


class PlaintextWindow:
    """The time in which plaintext is accepted; none by default.

    Args:
        until: Its end, as an aware datetime or in Unix seconds. One in the past is no error: the window is over.
        clock: Returns Unix seconds.
        log: Gets a line for each value that is let through, within its limits.

    Raises:
        TypeError, ValueError: *until* is no such time, or more than a year away.
    """

    def __init__(self, until: datetime | float | None, *, clock: Callable[[], float], log: EncryptionLog) -> None:
        self._clock = clock
        self._log = log
        self._until = None if until is None else _unix_time(until)
        if self._until is None:
            return
        left = self._until - clock()
        if left > LONGEST:
            raise ValueError("accept_plaintext_until is at most a year away, in seconds, not milliseconds")
        self._shown = datetime.fromtimestamp(self._until, timezone.utc).isoformat(timespec="seconds")
        if left > 0:
            logger.warning(
                "plaintext is accepted until %s: until then, whoever can write into the journal can replace encrypted "
                "values by plaintext of their own",
                self._shown,
            )
        else:
            logger.warning(
                "plaintext was accepted until %s, and is refused now: remove accept_plaintext_until", self._shown
            )

    def accepts(self, value: bytes) -> bool:
        """Return whether *value* is plaintext and may be used. What begins like an encrypted value never is."""
        if self._until is None or self._clock() >= self._until or frames.is_reserved(value):
            return False
        self._log.accepted_plaintext(self._shown)
        return True


def _unix_time(until: datetime | float) -> float:
    if isinstance(until, datetime):
        if until.utcoffset() is None:
            raise ValueError("accept_plaintext_until has no time zone: pass an aware datetime, or Unix seconds")
        return until.timestamp()
    if isinstance(until, bool) or not isinstance(until, (int, float)):
        raise TypeError(f"accept_plaintext_until is an aware datetime or Unix seconds, not a {type(until).__name__}")
    if not 0 <= until < 1e15:
        raise ValueError("accept_plaintext_until is a time in Unix seconds: it must end")
    return float(until)
