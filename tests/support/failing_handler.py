"""A handler of the log that fails, as one does that expects what other records have."""

from __future__ import annotations

import logging


class FailingHandler(logging.Handler):
    """Counts the lines that it was given, and raises for each."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0

    def handle(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        self.lines += 1
        raise KeyError("request_id")
