"""When a tunnel has closed, no call of the application runs any more, whatever became of its connection."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel.leftovers import Leftovers
from tests.tunnel.cloud import PREFIX, Cloud
from tests.tunnel.dialling import until
from tests.tunnel.tunnels import PATH, SIGNER, SOON, opened


class Deaf:
    """An application that goes on when its request is gone, until it is let go or cancelled."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.events: list[str] = []
        self.running = 0
        self.let_go = asyncio.Event()
        self._stubborn = stubborn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.events.append(f"shuts down while {self.running} run")
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.running += 1
        try:
            await self.let_go.wait()
            self.events.append("finished")
        except asyncio.CancelledError:
            self.events.append("cancelled")
            if self._stubborn:
                await self.let_go.wait()
            raise
        finally:
            self.running -= 1


async def lose_a_request(cloud: Cloud, app: Deaf) -> None:
    """Send a request, and lose its connection while the application works on it."""
    line = await (await cloud.line(0)).accepted()
    line.open(f"{PREFIX}{PATH}", SIGNER.headers(PATH), end=True)
    await until(lambda: app.running == 1)
    line.kill()
    await (await cloud.line(1)).accepted()


async def test_a_call_whose_connection_was_lost_is_waited_for() -> None:
    app = Deaf()
    async with Cloud() as cloud:
        async with opened(cloud, app=app, timings=replace(SOON, farewell=0.02)) as tunnel:
            await lose_a_request(cloud, app)
            closing = asyncio.ensure_future(tunnel.aclose())
            await cloud.lines[1].ended()
            await asyncio.sleep(0.1)
            assert not closing.done()
            app.let_go.set()
            await closing
        assert app.events == ["finished", "shuts down while 0 run"]


async def test_a_call_whose_connection_was_lost_is_cancelled_when_the_grace_is_over() -> None:
    app = Deaf()
    async with Cloud() as cloud:
        async with opened(cloud, app=app, timings=replace(SOON, grace=0.5)):
            await lose_a_request(cloud, app)
        assert app.events == ["cancelled", "shuts down while 0 run"]


async def test_a_call_whose_connection_was_lost_is_cancelled_in_time_also_while_the_tunnel_goes_on() -> None:
    app = Deaf()
    async with Cloud() as cloud, opened(cloud, app=app, timings=replace(SOON, grace=0.2)):
        await lose_a_request(cloud, app)
        await until(lambda: app.events == ["cancelled"])


async def test_a_call_that_goes_on_although_it_was_cancelled_is_given_up_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        app = Deaf(stubborn=True)
        async with Cloud() as cloud:
            async with opened(cloud, app=app, timings=replace(SOON, grace=0.2, farewell=0.2)):
                await lose_a_request(cloud, app)
            assert app.events == ["cancelled", "shuts down while 1 run"]
            app.let_go.set()
            await until(lambda: app.running == 0)
    warning = "tunnel: calls of the application still run after their cancellation: 1"
    assert caplog.record_tuples.count(("restate_identity.tunnel", logging.WARNING, warning)) == 1


async def test_a_cancelled_close_cancels_what_lost_its_connection() -> None:
    app = Deaf()
    async with Cloud() as cloud, opened(cloud, app=app, timings=replace(SOON, grace=600)) as tunnel:
        await lose_a_request(cloud, app)
        closing = asyncio.ensure_future(tunnel.aclose())
        await cloud.lines[1].ended()
        closing.cancel()
        # It would end by itself, but is not waited for.
        asyncio.get_running_loop().call_later(0.3, app.let_go.set)
        await asyncio.wait({closing})
        assert app.events == ["cancelled", "shuts down while 0 run"]


async def test_a_call_that_is_handed_over_twice_is_cancelled_once() -> None:
    cancelled = 0

    async def stubborn() -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled += 1
            await asyncio.sleep(0.1)

    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    task = asyncio.ensure_future(stubborn())
    await asyncio.sleep(0)
    leftovers = Leftovers()
    leftovers.adopt([task], within=0.01)
    leftovers.adopt([task], within=0)
    await asyncio.sleep(0.05)
    other = asyncio.ensure_future(asyncio.sleep(60))
    leftovers.adopt([task, other], within=0)
    await leftovers.end(within=1, farewell=1)

    assert (cancelled, failures, other.cancelled()) == (1, [], True)


async def test_calls_that_have_ended_are_neither_waited_for_nor_named(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.ensure_future(asyncio.sleep(0))
    await ended
    ending, running = asyncio.ensure_future(asyncio.sleep(0)), asyncio.ensure_future(asyncio.sleep(60))
    leftovers = Leftovers()
    leftovers.adopt([ended, ending, running], within=0.05)
    await ending
    await leftovers.end(within=20, farewell=20)
    assert running.cancelled()
    late = asyncio.ensure_future(asyncio.sleep(60))
    leftovers.adopt([late], within=60)
    await leftovers.end(within=0, farewell=20)
    assert late.cancelled()
    assert caplog.text == ""
