"""Wait for what another process or thread does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def eventually(
    look: Callable[[], Result | None], *, seconds: float = 60.0, failure: str = "it did not happen in time"
) -> Result:
    """Return the first result of *look* that is true; fail if there is none within so many seconds."""
    give_up_at = time.monotonic() + seconds
    while not (result := look()):
        assert time.monotonic() < give_up_at, failure
        time.sleep(0.05)
    return result
