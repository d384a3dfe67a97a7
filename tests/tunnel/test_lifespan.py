"""The application's lifespan: its start-up before the tunnel dials, what it keeps for the requests, its shutdown."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel import TunnelError
from tests.tunnel.cloud import PREFIX, Cloud
from tests.tunnel.dialling import run, until
from tests.tunnel.tunnels import PATH, SIGNER, SOON, call, opened

# Long enough for a dial that must not happen to happen, without being what a test waits for.
A_MOMENT = 0.15


async def test_the_application_may_have_a_lifespan_and_is_not_served_before_it_started() -> None:
    events: list[str] = []
    let_start = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            events.append(f"serves {scope['state']['database']} for {scope['restate_identity'].audience}")
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})
            return
        assert (await receive())["type"] == "lifespan.startup"
        events.append("starts")
        await let_start.wait()
        scope["state"]["database"] = "open"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        events.append("stops")
        await send({"type": "lifespan.shutdown.complete"})

    async def served(cloud: Cloud) -> None:
        async with opened(cloud, app=app) as tunnel:
            await tunnel.ready()
            assert (await call(await cloud.line(0))).status == 200

    async with Cloud() as cloud:
        opening = asyncio.ensure_future(served(cloud))
        await until(lambda: events == ["starts"])
        await asyncio.sleep(A_MOMENT)
        assert cloud.lines == []
        let_start.set()
        await opening
    assert events == ["starts", f"serves open for {PATH}", "stops"]


async def test_an_application_that_is_stuck_starting_up_is_fatal() -> None:
    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await asyncio.Event().wait()

    async with Cloud() as cloud:
        with pytest.raises(TunnelError, match=r"did not start up within 0\.2 s"):
            async with opened(cloud, app=stuck, timings=replace(SOON, start_limit=0.2)):
                pass
        assert cloud.lines == []


async def test_an_application_that_fails_to_start_up_is_fatal() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async with Cloud() as cloud:
        with pytest.raises(TunnelError, match="no database"):
            async with opened(cloud, app=failing):
                pass
        assert cloud.lines == []


async def test_what_a_request_keeps_in_the_state_of_the_lifespan_is_not_there_for_the_next_one() -> None:
    seen: list[dict[str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["shared"] = "by all"
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(dict(scope["state"]))
        scope["state"]["own"] = "of this request"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async with Cloud() as cloud, opened(cloud, app=app):
        line = await (await cloud.line(0)).accepted()
        for _ in range(2):
            assert (await call(line)).status == 200
    assert seen == [{"shared": "by all"}] * 2


class Endless:
    """An application whose shutdown never ends."""

    def __init__(self) -> None:
        self.running = False
        self.shutting_down = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.shutting_down = True
        self.running = True
        await asyncio.Event().wait()


def test_the_shutdown_of_the_application_has_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        app = Endless()
        async with Cloud() as cloud, opened(cloud, app=app, timings=replace(SOON, start_limit=0.2)) as tunnel:
            await tunnel.ready()
        assert app.shutting_down

    run(asyncio.wait_for(test(), 60))
    assert "the application did not shut down within 0.2 s" in caplog.text


@pytest.mark.parametrize("grace", [0.1, 600], ids=["during the shutdown", "during the grace"])
def test_a_cancelled_close_does_not_wait_for_the_shutdown_of_the_application(grace: float) -> None:
    async def test() -> None:
        app = Endless()
        timings = replace(SOON, start_limit=600, grace=grace, farewell=0.2)
        async with Cloud() as cloud, opened(cloud, app=app, timings=timings) as tunnel:
            line = await (await cloud.line(0)).accepted()
            line.open(f"{PREFIX}{PATH}", SIGNER.headers(PATH), end=True)
            await until(lambda: app.running)
            closing = asyncio.ensure_future(tunnel.aclose())
            if grace < 1:
                await until(lambda: app.shutting_down)
            else:
                await line.until(lambda: bool(line.goaways))
            closing.cancel()
            await asyncio.wait({closing})

    run(asyncio.wait_for(test(), 60))
