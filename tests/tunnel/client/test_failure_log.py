"""A failure that repeats is logged once a minute, with the number of those left out."""

from __future__ import annotations

import pytest

from restate_identity.tunnel.client.failure_log import INTERVAL, MOST, FailureLog
from restate_identity.tunnel.client.origins import Origin
from tests.support.clock import Clock

GREETER = Origin("http", "greeter", 9080)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines since the last call."""
    messages = [record.getMessage() for record in caplog.records if record.name == "restate_identity.tunnel.client"]
    caplog.clear()
    return messages


def test_what_repeats_is_counted_and_said_a_minute_later(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = FailureLog(clock=clock)
    for _ in range(4):
        log.failed(GREETER, "cannot connect")
    assert lines(caplog) == ["tunnel client: a request to http://greeter:9080 failed: cannot connect"]
    clock.now += INTERVAL - 1
    log.failed(GREETER, "cannot connect")
    assert lines(caplog) == []
    clock.now += 1
    log.failed(GREETER, "cannot connect")
    assert lines(caplog) == [
        "tunnel client: a request to http://greeter:9080 failed: cannot connect (4 more times in the last 60 s)"
    ]
    clock.now += 10 * INTERVAL
    log.failed(GREETER, "cannot connect")
    assert lines(caplog) == ["tunnel client: a request to http://greeter:9080 failed: cannot connect"]


def test_what_differs_has_lines_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog(clock=Clock())
    other = Origin("http", "other", 9080)
    for _ in range(2):
        for origin in (GREETER, other):
            log.failed(origin, "cannot connect")
            log.failed(origin, "timed out")
            log.refused(origin, "it is no target")
        for why in ("cannot connect", "it is no target"):
            log.malformed(why)
            log.caller(why)
    assert len(lines(caplog)) == 10


def test_a_flood_of_names_is_logged_as_one_and_a_quiet_minute_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = FailureLog(clock=clock)
    for first, last, expected in ((0, MOST, MOST), (0, 1, 0), (MOST, 3 * MOST, 1)):
        for number in range(first, last):
            log.refused(Origin("http", f"host{number}", 80), "it is no target")
        assert len(lines(caplog)) == expected
    clock.now += INTERVAL
    for number in range(MOST, MOST + 3):
        log.refused(Origin("http", f"host{number}", 80), "it is no target")
    assert len(lines(caplog)) == 3
