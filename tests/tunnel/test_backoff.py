"""How long a target is left alone."""

from __future__ import annotations

import pytest

from restate_identity.tunnel.backoff import Backoff
from restate_identity.tunnel.timings import TunnelTimings


def backoff(chance: float = 0.5) -> Backoff:
    return Backoff(TunnelTimings(), chance=lambda: chance)


def test_the_waits_double_from_10_milliseconds_to_2_minutes() -> None:
    waits = backoff()
    seconds = [waits.after_failure() for _ in range(20)]
    assert seconds[:4] == [0.01, 0.02, 0.04, 0.08]
    assert seconds[-7:] == [81.92, *[120.0] * 6]


def test_every_wait_is_up_to_a_half_shorter_or_longer() -> None:
    assert [backoff(0).after_failure(), backoff(1).after_failure()] == [0.005, 0.015]
    assert len({Backoff(TunnelTimings()).after_failure() for _ in range(10)}) == 10


@pytest.mark.parametrize(("served_for", "wait"), [(0.0, 0.04), (5.0, 0.04), (5.01, 0.01), (100.0, 0.01)])
def test_only_a_connection_that_served_for_5_seconds_starts_them_anew(served_for: float, wait: float) -> None:
    waits = backoff()
    waits.after_failure()
    waits.after_failure()
    assert waits.after_failure(served_for) == wait


def test_if_any_connection_that_served_is_a_good_one_the_others_are_not() -> None:
    waits = Backoff(TunnelTimings(steady=0), chance=lambda: 0.5)
    assert [waits.after_failure(0.0), waits.after_drain(0.0), waits.after_failure(0.0)] == [0.01, 0.02, 0.04]
    assert [waits.after_failure(0.001), waits.after_drain(0.001)] == [0.01, 0.0]


@pytest.mark.parametrize("served_for", [5.01, 100.0])
def test_the_replacement_of_a_good_connection_waits_for_nothing(served_for: float) -> None:
    waits = backoff()
    for _ in range(5):
        waits.after_failure()
    assert waits.after_drain(served_for) == 0.0
    assert waits.after_failure() == 0.01


def test_drains_of_young_connections_count_as_failures() -> None:
    waits = backoff()
    assert [waits.after_drain(1.0) for _ in range(3)] == [0.01, 0.02, 0.04]
