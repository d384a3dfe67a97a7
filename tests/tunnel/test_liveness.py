"""A server that is not there any more is noticed, even if nobody says so."""

from __future__ import annotations

from dataclasses import replace

from restate_identity.tunnel.state import EndingKind
from tests.tunnel.dialling import QUICK, serving

WATCHFUL = replace(QUICK, ping_every=0.05, ping_answer=5, farewell=0.1)


async def test_a_server_that_answers_pings_is_kept() -> None:
    async with serving(timings=WATCHFUL) as (here, line):
        await line.until(lambda: line.pings > 5)
        assert not here.task.done()
        assert (await line.request("/_/health", method="GET")).status == 200


async def test_a_server_that_misses_two_pings_is_given_up() -> None:
    async with serving(timings=replace(WATCHFUL, ping_every=0.1, ping_answer=0.1)) as (here, line):
        line.freeze()
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        assert "did not answer 2 pings in a row" in ending.reason


async def test_a_server_that_misses_one_ping_and_answers_the_next_is_kept() -> None:
    # What is due after an answer says whether the miss before it was forgotten.
    async with serving(timings=replace(WATCHFUL, ping_every=0.8, ping_answer=0.6)) as (here, line):
        for _ in range(2):
            pings = line.pings
            line.answers = False
            await line.until(lambda pings=pings: line.pings > pings)  # type: ignore[misc]
            line.answers = True
            pings = line.pings
            await line.until(lambda pings=pings: line.pings > pings)  # type: ignore[misc]
        assert not here.task.done()
