"""Threads for calls that block: few, and not for callers who are gone."""

from __future__ import annotations

import asyncio
import threading

import pytest

from restate_identity.encryption.daemon_threads import DaemonThreads


async def test_no_more_calls_run_at_once_than_the_limit_and_all_are_answered() -> None:
    threads, running, most = DaemonThreads(3), 0, 0
    lock, released = threading.Lock(), threading.Event()

    def call() -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        released.wait()
        with lock:
            running -= 1
        return 1

    calls = [asyncio.ensure_future(threads.run(call)) for _ in range(10)]
    while running < 3:  # noqa: ASYNC110 (it happens in other threads)
        await asyncio.sleep(0.001)
    released.set()
    assert (sum(await asyncio.gather(*calls)), most) == (10, 3)


async def test_a_call_whose_caller_is_gone_is_not_begun() -> None:
    threads, begun, released = DaemonThreads(1), [], threading.Event()
    first = asyncio.ensure_future(threads.run(released.wait))
    gone = asyncio.ensure_future(threads.run(lambda: begun.append("gone")))
    last = asyncio.ensure_future(threads.run(lambda: begun.append("last")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    released.set()
    await asyncio.gather(first, last)
    assert begun == ["last"]


async def test_what_a_call_raises_is_raised_where_it_is_awaited_and_the_thread_goes_on() -> None:
    threads = DaemonThreads(1)
    for error in (ValueError(), SystemExit()):

        def call(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            await threads.run(call)
    assert await threads.run(lambda: 1) == 1
