"""Keeps hpack from writing headers down: our auth token, and the identities of requests."""

from __future__ import annotations

import logging


def quiet_hpack() -> None:
    """Hold hpack's loggers at INFO. One whose level somebody has set by its name is left alone."""
    for name in ("hpack.hpack", "hpack.table"):
        hpack_logger = logging.getLogger(name)
        if hpack_logger.level == logging.NOTSET:
            hpack_logger.setLevel(logging.INFO)
