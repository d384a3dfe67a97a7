"""A failure that comes back at every try is logged once a minute, and its end once."""

from __future__ import annotations

from restate_identity.tunnel.outage import Outage


def test_a_failure_is_told_at_once_and_then_once_a_minute_until_it_ends() -> None:
    outage = Outage()
    told = [now for now in (0.0, 1.0, 59.9, 60.0, 119.9, 120.0, 181.0) if outage.tells(now)]
    assert told == [0.0, 60.0, 120.0, 181.0]
    assert [outage.end(), outage.end()] == [True, False]
    assert outage.tells(182.0)
