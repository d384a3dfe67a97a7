"""A wait with a limit: what it returns, what it raises, and that a cancellation always comes out of it."""

from __future__ import annotations

import asyncio
import gc

import pytest

from restate_identity._waiting import cancel, cut_short, limited, uninterrupted


class Slow:
    """A coroutine that takes some time, and a moment more to end if it is cancelled.

    Attributes:
        events: What became of it.
    """

    def __init__(self, failure: Exception | None = None, *, ignores: bool = False) -> None:
        self.events: list[str] = []
        self._failure = failure
        self._ignores = ignores

    async def __call__(self, seconds: float = 600) -> str:
        self.events.append("began")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            self.events.append("cancelled")
            if not self._ignores:
                raise
        if self._failure is not None:
            raise self._failure
        return "done"


async def test_what_ends_in_time_is_returned_or_raised() -> None:
    assert await limited(Slow()(0), 600) == "done"
    failure = OSError("broken")
    with pytest.raises(OSError, match="broken") as error:
        await limited(Slow(failure)(0), 600)
    assert error.value is failure


async def test_what_takes_too_long_is_cancelled_and_has_ended() -> None:
    slow = Slow()
    with pytest.raises(asyncio.TimeoutError):
        await limited(slow(), 0.01)
    assert slow.events == ["began", "cancelled"]


async def test_without_any_time_it_still_runs_until_it_waits() -> None:
    async def immediate() -> str:
        return "done"

    assert await limited(immediate(), 0) == "done"
    slow = Slow()
    with pytest.raises(asyncio.TimeoutError):
        await limited(slow(), 0)
    assert slow.events == ["began", "cancelled"]


async def test_what_is_cut_short_is_cancelled_where_it_first_waits_and_has_ended() -> None:
    slow = Slow()
    await cut_short(slow(0.2))
    assert slow.events == ["began", "cancelled"]


async def test_what_completes_although_it_was_cancelled_counts() -> None:
    assert await limited(Slow(ignores=True)(), 0) == "done"
    with pytest.raises(OSError, match="broken"):
        await limited(Slow(OSError("broken"), ignores=True)(), 0)


async def test_what_cancels_itself_did_not_take_too_long() -> None:
    async def cancels_itself() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await limited(cancels_itself(), 600)


@pytest.mark.parametrize("failure", [None, OSError("broken")])
async def test_a_cancellation_comes_out_whatever_happens_in_the_same_moment(failure: Exception | None) -> None:
    left_over: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left_over.append(context))

    async def wait() -> str:
        return await limited(Slow(failure)(0), 600)

    outcomes = set()
    # The coroutine ends at one of these turns of the loop.
    for turns in range(8):
        waiting = asyncio.ensure_future(wait())
        for _ in range(turns):
            await asyncio.sleep(0)
        if waiting.cancel():
            await asyncio.wait({waiting})
            assert waiting.cancelled(), turns
        outcomes.add(waiting.cancelled())
        if not waiting.cancelled():
            waiting.exception()
    assert outcomes == {True, False}
    gc.collect()
    assert left_over == []


async def test_what_is_waited_for_has_ended_when_a_cancellation_comes_out() -> None:
    slow = Slow()
    waiting = asyncio.ensure_future(limited(slow(), 600))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert slow.events == ["began", "cancelled"]


async def test_tasks_that_are_cancelled_have_ended_and_their_failures_are_dropped() -> None:
    left_over: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left_over.append(context))
    slow = [Slow(), Slow(OSError("broken"), ignores=True)]
    tasks = [asyncio.ensure_future(each()) for each in slow]
    await asyncio.sleep(0.01)
    await cancel(*tasks)
    assert [each.events for each in slow] == [["began", "cancelled"]] * 2
    tasks.clear()
    gc.collect()
    assert left_over == []


async def test_what_is_not_to_be_interrupted_is_returned_or_raised() -> None:
    assert await uninterrupted(Slow()(0)) == "done"
    with pytest.raises(OSError, match="broken"):
        await uninterrupted(Slow(OSError("broken"))(0))


@pytest.mark.parametrize("failure", [None, OSError("broken")])
async def test_what_is_not_to_be_interrupted_has_ended_when_the_first_cancellation_comes_out(
    failure: Exception | None,
) -> None:
    left_over: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left_over.append(context))

    async def end() -> None:
        try:
            await slow(0.01)
        finally:
            slow.events.append("ended")

    async def wait() -> None:
        try:
            await uninterrupted(end())
        except asyncio.CancelledError as error:
            slow.events += error.args

    slow = Slow(failure)
    waiting = asyncio.ensure_future(wait())
    turns = 0
    while not waiting.done():
        await asyncio.sleep(0)
        waiting.cancel(f"turn {turns}")
        turns += 1
    assert slow.events == ["began", "ended", "turn 0"]
    await asyncio.sleep(0)
    gc.collect()
    assert left_over == []
