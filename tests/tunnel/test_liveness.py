"""A server that is not there any more is noticed, even if nobody says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing
from contextvars import Context
from dataclasses import replace
from typing import Any

import pytest

from restate_identity.tunnel.state import EndingKind
from restate_identity.tunnel.timings import TunnelTimings
from restate_identity.tunnel.watchdog import Watchdog
from tests.tunnel.dialling import QUICK, serving

WATCHFUL = replace(QUICK, ping_every=0.05, ping_answer=5, farewell=0.1)


class Hasty(asyncio.SelectorEventLoop):
    """An event loop in which nobody waits; it remembers for how long somebody would have."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *arguments: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self.waits.append(delay)
        return super().call_later(0, callback, *arguments, context=context)


@pytest.mark.parametrize("answered", [0, 1])
def test_pings_come_every_75_seconds_and_have_10_seconds_to_be_answered(answered: int) -> None:
    pings: list[bytes] = []
    silences: list[int] = []

    async def test() -> None:
        silent = asyncio.Event()

        def ping(data: bytes) -> None:
            pings.append(data)
            if len(pings) <= answered:
                # The answer comes when its deadline is set.
                asyncio.get_running_loop().call_soon(watchdog.answered)
            elif len(pings) > answered + 2:
                silent.set()  # too many: the test has failed

        def on_silence(missed: int) -> None:
            silences.append(missed)
            silent.set()

        watchdog = Watchdog(TunnelTimings(), ping=ping, on_silence=on_silence)
        watchdog.start()
        await silent.wait()

    with closing(Hasty()) as loop:
        loop.run_until_complete(test())
    assert loop.waits == [75, 10] * answered + [75, 10, 65, 10]
    assert (len(pings), silences) == (answered + 2, [2])


async def test_a_server_that_answers_pings_is_kept() -> None:
    async with serving(timings=WATCHFUL) as (here, line):
        await line.until(lambda: line.pings > 5)
        assert not here.task.done()
        assert (await line.request("/_/health", method="GET")).status == 200


async def test_a_connection_that_is_cancelled_has_ended_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving():
        pass
    assert "ended: cancelled" in caplog.text


@pytest.mark.parametrize("answered", [0, 1])
async def test_a_server_that_misses_two_pings_is_given_up(answered: int) -> None:
    async with serving(timings=replace(WATCHFUL, ping_every=0.1, ping_answer=0.1)) as (here, line):
        await line.until(lambda: line.pings == answered)
        line.answers = False
        ending = await here.ending()
        assert (ending.kind, line.pings) == (EndingKind.RETRY, answered + 2)
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
