"""`Outage`: when to log a failure that comes back at every try, so that it is seen and fills no log."""

from __future__ import annotations

# In seconds, while the failure lasts.
_EVERY = 60.0


class Outage:
    """A failure that is logged at once, and then once a minute until it has ended.

    All times are seconds on one clock that never goes backwards.
    """

    def __init__(self) -> None:
        self._logged_at: float | None = None

    def is_due(self, now: float) -> bool:
        """Return whether a failure now would be logged; `logged` notes that it was."""
        return self._logged_at is None or now - self._logged_at >= _EVERY

    def tells(self, now: float) -> bool:
        """Return whether a failure now is to be logged, and note that it is."""
        due = self.is_due(now)
        if due:
            self.logged(now)
        return due

    def logged(self, now: float) -> None:
        """Note that the failure was logged."""
        self._logged_at = now

    def end(self) -> bool:
        """Note that it works. Return whether a failure was logged before, so that its end is worth a line."""
        had_failed = self._logged_at is not None
        self._logged_at = None
        return had_failed
