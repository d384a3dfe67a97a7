"""The short form of ``make conformance``: every difference between this project and the SDKs is a listed one.

It also runs two of the scenarios in which our tunnel must lose nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tools.conformance.comparison import SEED, of_mutations, of_vectors
from tests.tools.conformance.differences import REFUSED_HERE, REFUSED_THERE, explained
from tests.tools.conformance.judges import OURS, PYJWT, PYTHON_SDK, Judge, Request, present, typescript_sdk, verdict
from tests.tools.conformance.mutations import Mutator
from tests.tools.conformance.tunnels.comparison import compare, losses
from tests.tools.conformance.tunnels.engines import Engine, running
from tests.tools.conformance.tunnels.scenarios import Outcome, Scenario, drained, finished, in_flight, unsigned
from tests.tunnel.cloud import Cloud
from tests.vectors.forge import OWN, PATH, Forge, with_token


@pytest.fixture(scope="module")
def typescript() -> Iterator[Judge]:
    with typescript_sdk() as judge:
        yield judge


def test_the_vectors_hold_no_surprise_and_show_every_listed_difference(typescript: Judge) -> None:
    comparison = of_vectors([OURS, PYTHON_SDK, PYJWT, typescript])
    assert comparison.surprises == []
    listed = {entry.about for entry in REFUSED_HERE} | {entry.about for entry in REFUSED_THERE}
    assert set(comparison.differences) == listed


def test_4000_mutations_hold_no_surprise_for_the_python_sdk() -> None:
    comparison = of_mutations([OURS, PYTHON_SDK, PYJWT], 4_000)
    assert comparison.surprises == []
    ours = comparison.rows[0]
    assert 0 < ours.accepted < ours.judged == 4_000


def test_2000_mutations_hold_no_surprise_for_the_typescript_sdk(typescript: Judge) -> None:
    assert of_mutations([OURS, typescript], 2_000, seed=SEED + 1).surprises == []


def test_a_judge_that_accepts_everything_is_a_surprise() -> None:
    gullible = Judge("a gullible SDK", has_clock=True, judge=lambda requests: [True for _ in requests])
    assert of_mutations([gullible], 100).surprises
    assert of_vectors([gullible]).surprises


def test_mutations_reach_every_check_of_a_token() -> None:
    reasons = {verdict(request) for request in Mutator(SEED, present()).requests(3_000)}
    assert {
        None,
        "malformed_token",
        "unsupported_algorithm",
        "unknown_key",
        "bad_signature",
        "malformed_claims",
        "not_yet_valid",
        "expired",
        "wrong_audience",
    } <= reasons


def test_a_genuine_request_has_nothing_that_would_explain_a_difference() -> None:
    forge = Forge(present())
    request = Request((OWN.text,), tuple(with_token(forge.genuine())), PATH, forge.now)
    reasons = {entry.reason for entry in REFUSED_HERE} - {"invalid_key"}
    assert [reason for reason in (None, *reasons) if explained(request, reason)] == []


def test_our_tunnel_loses_nothing_in_a_drain_and_lets_in_nothing_that_is_not_signed() -> None:
    rows = compare([Scenario("drained", drained(0.05)), Scenario("not signed", unsigned)])
    assert losses(rows) == []
    assert rows[0].ours.requests >= 300
    assert rows[1].sdk is not None
    assert rows[1].ours.requests == rows[1].sdk.requests == 7


def test_requests_whose_connection_breaks_are_counted_as_lost_and_named() -> None:
    async def killed(engine: Engine) -> Outcome:
        async with Cloud() as cloud, running(engine, cloud):
            line = await (await cloud.line(0)).accepted()
            exchanges = await in_flight(line, 3)
            line.kill()
            return Outcome(len(exchanges), await finished(exchanges), 0.0)

    rows = compare([Scenario("killed", killed)])
    assert [line.partition(" × ")[0] for line in losses(rows)] == ["killed: 3"]
