"""The log lines of refusals, and their limits."""

from __future__ import annotations

import logging
import re
import threading
import time

import pytest

from restate_identity import Identity, Reason, VerificationError
from restate_identity._allowance import Allowance
from restate_identity._refusal_log import RefusalLog
from restate_identity.guard import RequestGuard
from restate_identity.signing import RequestSigner
from tests.support import forge
from tests.support.clock import Clock
from tests.support.failing_handler import FailingHandler

PATH = "/invoke/Greeter/greet"
UNSIGNED = VerificationError(Reason.UNSIGNED, "the server does not sign")
EXPIRED = VerificationError(Reason.EXPIRED, "too late")
# What docs/operating.md promises.
BURST = 100
INTERVAL = 10


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines since the last call."""
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return messages


def test_a_flood_is_logged_up_to_the_burst_and_then_once_in_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(clock=clock)

    for _ in range(10_000):
        log.refused(PATH, UNSIGNED)
    assert len(lines(caplog)) == BURST

    for _ in range(3600):
        clock.now += 1
        for _ in range(3):
            log.refused(PATH, UNSIGNED)
    seen = lines(caplog)
    assert sum(line.startswith("refused") for line in seen) == 3600 / INTERVAL
    assert sum(line.startswith("left out") for line in seen) == 3600 / INTERVAL
    left_out = sum(int(count) for count in re.findall(r"left out (\d+) more", "\n".join(seen)))
    # Those after the last line are still to be said.
    assert left_out + BURST + 3600 / INTERVAL == 10_000 + 3600 * 3 - 2


def test_what_was_left_out_is_said_with_the_next_line(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(clock=clock)
    clock.now += 3600
    for second in range(7):
        clock.now += second > 0
        for _ in range(BURST + 1 if second == 0 else 1):
            log.refused(PATH, UNSIGNED)
    lines(caplog)

    clock.now += INTERVAL
    log.refused(PATH, UNSIGNED)
    assert lines(caplog) == [
        "left out 7 more refusals for the reason unsigned in the last 16 s",
        f"refused a request to '{PATH}': unsigned: the server does not sign",
    ]

    clock.now += INTERVAL
    log.refused(PATH, UNSIGNED)
    assert len(lines(caplog)) == 1, "nothing was left out in between"


def test_a_long_path_is_cut_and_a_missing_one_is_called_that(caplog: pytest.LogCaptureFixture) -> None:
    log = RefusalLog()

    log.refused("/" + "x" * 199, UNSIGNED)
    log.refused("/" + "x" * 200, UNSIGNED)
    log.refused(None, UNSIGNED)

    whole, cut, none = lines(caplog)
    assert whole.startswith(f"refused a request to '/{'x' * 199}': ")
    assert cut.startswith(f"refused a request to '/{'x' * 199}'... (201 characters): ")
    assert none.startswith("refused a request to no path: ")


def test_what_an_observer_raises_is_logged_once_in_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(clock=clock)

    def logged_after(seconds: float) -> list[str]:
        clock.now += seconds
        caplog.clear()
        log.observer_failed(ValueError("the collector is down"))
        assert {record.name for record in caplog.records} <= {"restate_identity"}
        return [record.getMessage() for record in caplog.records]

    assert logged_after(0) == ["the observer failed, which changes nothing for the request"]
    assert [logged_after(0), logged_after(599.9)] == [[], []]
    assert logged_after(0.1) == [
        "the observer failed, which changes nothing for the request; 2 more failures were left out before"
    ]


def test_the_time_that_is_told_with_what_was_left_out_is_that_since_the_first_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    log = RefusalLog(burst=1, clock=clock)
    log.refused(PATH, UNSIGNED)
    for wait in (4, 3):
        clock.now += wait
        log.refused(PATH, UNSIGNED)
    clock.now += 5
    log.refused(PATH, UNSIGNED)
    assert "left out 2 more refusals for the reason unsigned in the last 8 s" in lines(caplog)

    clock.now += 1
    log.refused(PATH, UNSIGNED)
    clock.now += 600
    log.refused(PATH, UNSIGNED)
    assert "left out 1 more refusals for the reason unsigned in the last 600 s" in lines(caplog)


def test_a_flood_of_one_reason_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    log = RefusalLog(clock=Clock())
    for _ in range(BURST + 1):
        log.refused(PATH, UNSIGNED)
    lines(caplog)

    log.refused(PATH, EXPIRED)

    assert lines(caplog) == [f"refused a request to '{PATH}': expired: too late"]


def test_after_a_quiet_time_a_burst_is_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(clock=clock)
    for _ in range(BURST + 1):
        log.refused(PATH, UNSIGNED)
    lines(caplog)

    clock.now += 30 * 24 * 3600
    for _ in range(2 * BURST):
        log.refused(PATH, UNSIGNED)

    assert sum(line.startswith("refused") for line in lines(caplog)) == BURST


def test_nothing_is_lost_or_counted_twice_by_threads(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(clock=clock)

    def flood() -> None:
        for _ in range(2000):
            log.refused(PATH, UNSIGNED)

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(caplog)) == BURST

    clock.now += INTERVAL
    log.refused(PATH, UNSIGNED)
    assert lines(caplog)[0].startswith(f"left out {8000 - BURST} more ")


def test_the_guard_answers_a_flood_with_the_same_refusal_and_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    guard = RequestGuard(identity_keys=[forge.KEY])

    for _ in range(3 * BURST):
        with pytest.raises(VerificationError) as refused:
            guard.admit(PATH, "unsigned", None)
        assert refused.value.reason is Reason.UNSIGNED

    # On a machine where this takes longer than an interval, there is a line for each.
    assert BURST <= len(lines(caplog)) < 2 * BURST


def test_a_log_that_fails_changes_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = FailingHandler()
    monkeypatch.setattr(logging.getLogger("restate_identity"), "handlers", [failing])
    told = []

    class Observer:
        def accepted(self, identity: Identity, *, path: str, seconds: float) -> None: ...

        def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:  # noqa: ARG002
            told.append(error.reason)
            raise ValueError("the collector is down")

    guard = RequestGuard(identity_keys=[KEY], observer=Observer())

    with pytest.raises(VerificationError) as refused:
        guard.admit(PATH, "unsigned", None)

    assert refused.value.reason is Reason.UNSIGNED
    assert told == [Reason.UNSIGNED]
    assert failing.lines == 2, "the refusal, and the failure of the observer"


# --- the kid

SIGNER = RequestSigner.generate()
KEY = str(SIGNER.public_key)
STRANGER = RequestSigner.generate()
NOW = time.time()


@pytest.mark.parametrize(
    ("token", "reason", "kid"),
    [
        (SIGNER.token(PATH, now=NOW - 600), Reason.EXPIRED, KEY),
        (SIGNER.token(PATH, now=NOW + 10**6), Reason.NOT_YET_VALID, KEY),
        (SIGNER.token("/other", leeway=10**6), Reason.WRONG_AUDIENCE, KEY),
        (SIGNER.token(PATH)[:-8] + "AAAAAAAA", Reason.BAD_SIGNATURE, KEY),
        (STRANGER.token(PATH), Reason.UNKNOWN_KEY, str(STRANGER.public_key)),
        (None, Reason.MISSING_TOKEN, None),
        ("a.b.c", Reason.MALFORMED_TOKEN, None),
        (forge.token(forge.header(kid="publickeyv1_\r\nall is well")), Reason.UNKNOWN_KEY, None),
        (forge.token(forge.header(kid="publickeyv1_" + "1" * 45)), Reason.UNKNOWN_KEY, None),
        (forge.token(forge.header(kid=7)), Reason.UNKNOWN_KEY, None),
    ],
)
def test_the_key_that_the_token_names_is_in_the_line_once_it_was_read(
    caplog: pytest.LogCaptureFixture, token: str | None, reason: Reason, kid: str | None
) -> None:
    with pytest.raises(VerificationError) as refused:
        RequestGuard(identity_keys=[KEY]).admit(PATH, "v1", token)

    (line,) = lines(caplog)
    assert (refused.value.reason, refused.value.kid) == (reason, kid)
    if kid is None:
        assert "(kid " not in line
    else:
        assert line.count(kid) == 1


def test_the_key_is_known_when_its_claims_are_not_restates() -> None:
    refused = forge.refusal(forge.verifier(), PATH, "v1", forge.token(claims=forge.claims(aud=[PATH])))

    assert (refused.reason, refused.kid) == (Reason.MALFORMED_CLAIMS, forge.KEY)


def test_the_key_is_known_when_its_token_is_too_old() -> None:
    refused = forge.refusal(forge.verifier(now=forge.NOW + 10, max_token_age=5), PATH, "v1", forge.token())

    assert (refused.reason, refused.kid) == (Reason.TOO_OLD, forge.KEY)


def test_a_handler_that_writes_json_finds_reason_and_key_on_the_record(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(VerificationError):
        RequestGuard(identity_keys=[KEY]).admit(PATH, "v1", SIGNER.token("/other"))

    (record,) = caplog.records
    assert (vars(record)["restate_reason"], vars(record)["restate_kid"]) == ("wrong_audience", KEY)


def test_an_allowance_is_full_again_after_a_quiet_time() -> None:
    allowance = Allowance(2, 10.0, 0.0)
    assert allowance.is_full(0.0)
    assert (allowance.take(0.0), allowance.take(0.0), allowance.take(0.0)) == ((0, 0.0), (0, 0.0), None)
    assert not allowance.is_full(19.0)
    assert allowance.is_full(20.0)


def test_the_first_line_is_written_whatever_the_clock_says() -> None:
    # The clock of a machine that has just started is near 0, where rounding differs.
    for now in (tenths / 10 for tenths in range(40_000)):
        assert Allowance(1, 60.0, now).take(now) == (0, 0.0)
