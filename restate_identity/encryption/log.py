"""The log lines of a codec, limited for each reason, so that a burst of bad values cannot fill a disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from restate_identity._allowance import Allowance
from restate_identity._fork import Lock
from restate_identity.encryption.errors import EncryptionError, EncryptionReason

logger: logging.Logger = logging.getLogger("restate_identity")

BURST = 20
INTERVAL = 10.0


class EncryptionLog:
    """Writes at most `BURST` lines for a reason at once, and then one every `INTERVAL` seconds. Thread-safe.

    Args:
        clock: Returns seconds that never go backwards.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        now = clock()
        kinds = [*EncryptionReason, "renewal", "recovery", "plaintext"]
        self._allowances = {str(kind): Allowance(BURST, INTERVAL, now) for kind in kinds}

    def failed(self, what: str, error: EncryptionError) -> None:
        """Log that a value could not be encrypted or decrypted."""
        self._line(logging.ERROR, str(error.reason), f"cannot {what} a value: {error}", reason=str(error.reason))

    def not_renewed(self, error: EncryptionError, seconds: float, *, has_key: bool) -> None:
        """Log that the provider made no data key, and when it is asked again."""
        effect = "values are encrypted with the present one" if has_key else "no value can be encrypted until then"
        told = f"no new data key: {error}; trying again after {seconds:.1f} s, {effect}"
        self._line(logging.ERROR, "renewal", told, reason=str(error.reason))

    def renewed_again(self) -> None:
        """Log that the provider made a data key after it had failed."""
        self._line(logging.INFO, "recovery", "there is a new data key: the key provider answers again", reason="")

    def accepted_plaintext(self, until: str) -> None:
        """Log that a value that is not encrypted was let through."""
        self._line(
            logging.WARNING,
            "plaintext",
            f"accepted a value in plaintext, as configured until {until}",
            reason="plaintext",
        )

    def _line(self, level: int, kind: str, text: str, *, reason: str) -> None:
        with self._lock:
            left_out = self._allowances[kind].take(self._clock())
        if left_out is None:
            return
        extra = {"restate_encryption_reason": reason}
        # A filter or a handler that raises must not change what becomes of the value.
        with suppress(Exception):
            if left_out.lines:
                more = "left out %d more lines about %s in the last %.0f s"
                logger.log(level, more, left_out.lines, kind, left_out.seconds, extra=extra)
            logger.log(level, "%s", text, extra=extra)
