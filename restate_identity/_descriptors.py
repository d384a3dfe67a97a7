"""Live with few file descriptors: raise their limit, and keep the log small while there are none left."""

from __future__ import annotations

import asyncio
import errno
import logging
from contextlib import suppress
from typing import Any

logger: logging.Logger = logging.getLogger("restate_identity")


def allow_many_connections() -> None:
    """Raise the limit of open descriptors as far as this process may."""
    try:
        import resource
    except ImportError:  # on Windows there is no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class LossOfConnections:
    """Logs one line in ten seconds while no more connections can be accepted; asyncio would log thousands a second."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif loop.time() >= self._silent_until:
            self._silent_until = loop.time() + 10
            logger.error("no more connections can be accepted: raise the limit of open files (LimitNOFILE, ulimit -n)")
