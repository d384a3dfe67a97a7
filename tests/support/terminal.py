"""A standard output that says that it is a terminal, and keeps what is printed."""

from __future__ import annotations

import io


class Terminal(io.StringIO):
    """A terminal without a screen."""

    def isatty(self) -> bool:
        return True
