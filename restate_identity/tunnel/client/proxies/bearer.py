"""The API key for the cloud: read again from its file every few seconds, so that it can be rotated."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from restate_identity.tunnel.outage import Outage
from restate_identity.tunnel.token import AuthToken

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")

# The file is read at most this often.
EVERY = 5.0


class Bearer:
    """The value of the ``authorization`` header. Its repr does not contain it.

    Args:
        token: Where the API key is.
        clock: Returns seconds that never go backwards.
    """

    def __init__(self, token: AuthToken, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._clock = clock
        self._value = b""
        self._read_at: float | None = None
        self._outage = Outage()

    def value(self) -> bytes:
        """Return the current value.

        Raises:
            OSError, ValueError: No API key could be read so far. While a file is being replaced, the last one is used.
        """
        now = self._clock()
        if self._read_at is None or now - self._read_at >= EVERY:
            try:
                self._value = b"Bearer " + self._token.read().encode("ascii")
            except (OSError, ValueError) as error:
                if not self._value:
                    raise
                if self._outage.tells(now):
                    logger.warning("tunnel client: the auth token cannot be read, so the last one is used: %s", error)
            else:
                if self._outage.end():
                    logger.info("tunnel client: the auth token can be read again")
            self._read_at = now
        return self._value
