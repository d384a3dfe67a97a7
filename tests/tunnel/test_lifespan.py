"""The application's lifespan: its start-up before the tunnel dials, what it keeps for the requests, its shutdown."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

import pytest

from restate_identity.asgi import ASGIApp, Receive, Scope, Send
from restate_identity.tunnel import TunnelError
from tests.tunnel.cloud import PREFIX, Cloud
from tests.tunnel.dialling import cancelled, echo, until
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


class Application:
    """An application with a lifespan; what a subclass changes is what its test is about.

    Attributes:
        scope: The scope of the lifespan.
        events: What became of it.
    """

    def __init__(self) -> None:
        self.scope: Scope = {}
        self.events: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await echo(scope, receive, send)
            return
        self.scope = scope
        try:
            await self.start(receive, send)
            await self.shut_down(receive, send)
            self.events.append("ended")
        except asyncio.CancelledError:
            self.events.append("cancelled")
            raise

    async def start(self, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "lifespan.startup"}
        await send({"type": "lifespan.startup.complete"})

    async def shut_down(self, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "lifespan.shutdown"}
        await send({"type": "lifespan.shutdown.complete"})


async def served_once(app: ASGIApp, *, farewell: float = SOON.farewell) -> None:
    """Serve one request, and close the tunnel."""
    async with Cloud() as cloud, opened(cloud, app=app, timings=replace(SOON, farewell=farewell)):
        assert (await call(await (await cloud.line(0)).accepted())).status == 200


async def test_the_scope_of_the_lifespan_is_that_of_the_specification() -> None:
    app = Application()
    await served_once(app)
    assert app.scope == {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    assert app.events == ["ended"]


async def test_an_application_without_a_lifespan_is_served_and_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await echo(scope, receive, send)

    with caplog.at_level(logging.INFO):
        await served_once(app)
    assert "the application does not support lifespan (NotImplementedError)" in caplog.text
    assert "Traceback" not in caplog.text
    assert "did not shut down" not in caplog.text


async def test_a_lifespan_that_fails_while_the_application_serves_is_told_and_it_goes_on_serving(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Application):
        async def shut_down(self, receive: Receive, send: Send) -> None:  # noqa: ARG002
            raise RuntimeError("the pool broke")

    await served_once(Failing())
    assert "the lifespan of the application failed" in caplog.text
    assert "the pool broke" in caplog.text


async def test_after_its_last_message_the_application_may_still_do_something_and_even_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Slow(Application):
        async def shut_down(self, receive: Receive, send: Send) -> None:
            await super().shut_down(receive, send)
            await asyncio.sleep(0.01)
            self.events.append("closed the pool")
            raise RuntimeError

    app = Slow()
    await served_once(app, farewell=20)
    assert (app.events, caplog.text) == (["closed the pool"], "")


async def test_messages_that_nobody_knows_are_skipped(caplog: pytest.LogCaptureFixture) -> None:
    class Chatty(Application):
        async def start(self, receive: Receive, send: Send) -> None:
            for kind in ("a", "startup", "z"):
                await send({"type": f"lifespan.{kind}"})
            await super().start(receive, send)

        async def shut_down(self, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0.1)
            await super().shut_down(receive, send)

    app = Chatty()
    await served_once(app, farewell=0.02)
    assert (app.events, caplog.text) == (["ended"], "")


async def test_an_application_that_is_stuck_starting_up_is_fatal() -> None:
    class Stuck(Application):
        async def start(self, receive: Receive, send: Send) -> None:  # noqa: ARG002
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.01)

    app = Stuck()
    async with Cloud() as cloud:
        with pytest.raises(TunnelError, match=r"did not start up within 0\.2 s"):
            async with opened(cloud, app=app, timings=replace(SOON, start_limit=0.2)):
                pass
        assert (app.events, cloud.lines) == (["cancelled"], [])
        opening = asyncio.ensure_future(served_once(app))
        await asyncio.sleep(A_MOMENT)
        await cancelled(opening)
        assert app.events == ["cancelled", "cancelled"]


async def test_a_tunnel_that_is_cancelled_as_its_application_starts_does_not_serve() -> None:
    async def served() -> None:
        async with opened(cloud, app=Application()) as tunnel:
            await tunnel.wait_closed()

    async with Cloud() as cloud:
        # The application has started after one of these turns of the loop.
        for turns in range(12):
            serving = asyncio.ensure_future(served())
            for _ in range(turns):
                await asyncio.sleep(0)
            serving.cancel()
            await asyncio.wait({serving}, timeout=20)
            assert serving.cancelled(), turns


REASONS = [({"message": "no database"}, "no database"), ({"message": ""}, "see its own log"), ({}, "see its own log")]


@pytest.mark.parametrize(("message", "reason"), REASONS)
async def test_an_application_that_fails_to_start_up_is_fatal(message: dict[str, str], reason: str) -> None:
    class Failing(Application):
        async def start(self, receive: Receive, send: Send) -> None:  # noqa: ARG002
            await send({"type": "lifespan.startup.failed", **message})
            await asyncio.Event().wait()

    app = Failing()
    async with Cloud() as cloud:
        with pytest.raises(TunnelError, match=f"the application failed to start up: {reason}$"):
            async with opened(cloud, app=app):
                pass
        assert (app.events, cloud.lines) == (["cancelled"], [])


@pytest.mark.parametrize(("message", "reason"), REASONS)
async def test_an_application_that_fails_to_shut_down_is_told(
    caplog: pytest.LogCaptureFixture, message: dict[str, str], reason: str
) -> None:
    class Failing(Application):
        async def shut_down(self, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "lifespan.shutdown.failed", **message})
            await asyncio.Event().wait()

    await served_once(Failing(), farewell=0.02)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("restate_identity.tunnel", f"tunnel: the application failed to shut down: {reason}")
    ]


async def test_a_lifespan_that_goes_on_although_it_was_cancelled_is_given_up() -> None:
    let_go = asyncio.Event()

    class Stubborn(Application):
        async def shut_down(self, receive: Receive, send: Send) -> None:
            await super().shut_down(receive, send)
            with suppress(asyncio.CancelledError):
                await let_go.wait()
            await let_go.wait()

    app = Stubborn()
    await served_once(app, farewell=0.05)
    assert app.events == []
    let_go.set()
    await until(lambda: app.events == ["ended"])


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


class Slow(Application):
    """An application whose calls and whose shutdown take a moment to end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        self.events.append("called")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            self.events.append("call ended")

    async def shut_down(self, receive: Receive, send: Send) -> None:
        await receive()
        self.events.append("shuts down")
        await asyncio.sleep(0.05)
        await send({"type": "lifespan.shutdown.complete"})


async def called(app: Slow, cloud: Cloud) -> None:
    line = await (await cloud.line(0)).accepted()
    line.open(f"{PREFIX}{PATH}", SIGNER.headers(PATH), end=True)
    await until(lambda: app.events == ["called"])


async def test_an_application_shuts_down_although_its_block_is_cancelled_in_every_turn() -> None:
    async def served() -> None:
        async with opened(cloud, app=app) as tunnel:
            await tunnel.wait_closed()

    app = Slow()
    async with Cloud() as cloud:
        serving = asyncio.ensure_future(served())
        await called(app, cloud)
        await cancelled(serving)
        assert serving.cancelled()
        assert app.events == ["called", "call ended", "shuts down", "ended"]


async def test_an_application_shuts_down_although_one_close_after_another_is_cancelled() -> None:
    app = Slow()
    async with Cloud() as cloud, opened(cloud, app=app) as tunnel:
        await called(app, cloud)
        closing = [asyncio.ensure_future(tunnel.aclose()) for _ in range(3)]
        await asyncio.sleep(0)
        closing[0].cancel()
        await asyncio.sleep(0.02)
        closing[1].cancel()
        await until(lambda: "shuts down" in app.events)
        closing[2].cancel()
        await asyncio.wait(closing)
        assert app.events == ["called", "call ended", "shuts down", "ended"]


async def test_the_shutdown_of_the_application_has_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    app = Endless()
    async with Cloud() as cloud, opened(cloud, app=app, timings=replace(SOON, start_limit=0.2)) as tunnel:
        await tunnel.ready()
    assert app.shutting_down
    assert "the application did not shut down within 0.2 s" in caplog.text


@pytest.mark.parametrize("grace", [0.1, 600], ids=["during the shutdown", "during the grace"])
async def test_a_cancelled_close_does_not_wait_for_the_shutdown_of_the_application(grace: float) -> None:
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
