"""Keep hpack from logging headers, which contain our auth token and the identity tokens of requests."""

from __future__ import annotations

import logging


def quiet_hpack() -> None:
    """Set hpack's loggers to INFO, except for a logger whose own level is already set."""
    for name in ("hpack.hpack", "hpack.table"):
        hpack_logger = logging.getLogger(name)
        if hpack_logger.level == logging.NOTSET:
            hpack_logger.setLevel(logging.INFO)
