"""Read the reasons of refusals from a service's log, as an operator would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(r"WARNING restate_identity: refused a request to '(?P<path>.*)': (?P<reason>[a-z_]+): (?P<hint>.+)")


class Refusal(NamedTuple):
    """One line of the logger ``restate_identity``."""

    path: str
    reason: str
    hint: str


class RefusalLog:
    """The refusals in the log file of a running service, in order."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0

    def new(self) -> list[Refusal]:
        """Return the refusals since the last call. The guard logs before it answers: no need to wait."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        self._read += len(text)
        return [Refusal(*found.groups()) for found in map(_LINE.search, text.decode().splitlines()) if found]
