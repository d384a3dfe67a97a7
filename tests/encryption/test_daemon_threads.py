"""Threads for calls that block: few, and not for callers who are gone."""

from __future__ import annotations

import asyncio
import os
import signal
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


async def test_a_thread_is_used_again_and_does_not_hold_up_the_end_of_the_process() -> None:
    threads, used = DaemonThreads(3), set()
    for _ in range(3):
        used.add(await threads.run(threading.current_thread))
        while threads._idle != 1:  # noqa: ASYNC110 (it happens in another thread)
            await asyncio.sleep(0.001)
    assert [(thread.name, thread.daemon) for thread in used] == [("restate-identity-kms", True)]


def test_a_thread_whose_caller_s_loop_was_closed_goes_on() -> None:
    threads, begun, released = DaemonThreads(1), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        released.wait()

    async def left() -> None:
        abandoned = asyncio.ensure_future(threads.run(call))
        await asyncio.to_thread(begun.wait)
        assert not abandoned.done()

    asyncio.run(left())
    released.set()
    assert asyncio.run(threads.run(lambda: 1)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own() -> None:
    threads = DaemonThreads(1)
    asyncio.run(threads.run(int))
    child = os.fork()
    if not child:
        try:
            # Not as a failure of this test, which would go on in two processes.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            os._exit(asyncio.run(threads.run(lambda: 7)))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
