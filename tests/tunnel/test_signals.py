"""What a signal stops: every tunnel of the process, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from restate_identity.asgi import ASGIApp, Receive, Scope, Send
from restate_identity.tunnel import TunnelError, serve_tunnel
from tests.support.processes import free_port
from tests.tunnel.cloud import PREFIX, Cloud, Line
from tests.tunnel.dialling import cancelled, echo, run, until
from tests.tunnel.tunnels import IDENTIFIED, PATH, SIGNER, HeldRequests, opened, script

STOPS = (signal.SIGTERM, signal.SIGINT)


async def serve(cloud: Cloud, app: ASGIApp = echo) -> None:
    await serve_at(str(cloud.target), app)


async def serve_at(server: str, app: ASGIApp = echo, **options: Any) -> None:
    await serve_tunnel(
        app,
        servers=[server],
        **IDENTIFIED,
        **options,
    )


async def health(port: int) -> int:
    """Return the status of the health port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.1\r\n\r\n")
    _, status, _ = (await reader.readline()).split(maxsplit=2)
    writer.close()
    return int(status)


def ours(number: int, frame: object) -> None:
    """Handle a signal, as the handler that was there before."""


@pytest.mark.parametrize("stop", STOPS)
async def test_a_signal_stops_every_tunnel_of_the_process(stop: signal.Signals) -> None:
    app = HeldRequests()
    async with Cloud() as a, Cloud() as b:
        serving = [asyncio.ensure_future(serve(cloud, app)) for cloud in (a, b)]
        lines = [await (await cloud.line(0)).accepted() for cloud in (a, b)]
        exchanges = [await app.taken(line) for line in lines]
        os.kill(os.getpid(), stop)
        for line in lines:
            await line.until(lambda line=line: bool(line.goaways))  # type: ignore[misc]
        app.let_go()
        assert [(await exchange.whole()).body for exchange in exchanges] == [b"late", b"late"]
        await asyncio.gather(*serving)


async def test_the_health_port_tells_how_the_tunnel_is_until_nothing_of_it_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, port = HeldRequests(), free_port()
    async with Cloud(None) as cloud:
        before = asyncio.all_tasks()
        serving = asyncio.ensure_future(serve_at(str(cloud.target), app, health_port=port))
        line = await cloud.line(0)
        assert await health(port) == 503  # not accepted yet
        handshake = await line.opened_handshake()
        handshake.trailers(line.outcome())
        exchange = await app.taken(line)
        assert await health(port) == 200
        with caplog.at_level(logging.INFO):
            os.kill(os.getpid(), signal.SIGTERM)
            await line.until(lambda: bool(line.goaways))
        assert await health(port) == 503  # it drains
        app.let_go()
        await exchange.whole()
        await serving
        with pytest.raises(ConnectionRefusedError):
            await health(port)
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() <= before
    stopping = "tunnel: stopping; requests in flight may finish, and a second signal ends them at once"
    assert ("restate_identity.tunnel", logging.INFO, stopping) in caplog.record_tuples


@pytest.mark.parametrize("stop", STOPS)
async def test_a_signal_during_the_start_up_ends_it(stop: signal.Signals) -> None:
    events: list[str] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        events.append("starts")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cancelled")

    serving = asyncio.ensure_future(serve_at("http://127.0.0.1:1", slow))
    await until(lambda: events == ["starts"])
    os.kill(os.getpid(), stop)
    await asyncio.wait_for(serving, 20)
    assert events == ["starts", "cancelled"]


@pytest.mark.parametrize("later", [True, False], ids=["later", "in the same moment"])
async def test_a_second_signal_ends_what_is_in_flight_at_once(caplog: pytest.LogCaptureFixture, later: bool) -> None:
    app = HeldRequests()
    async with Cloud() as cloud:
        serving = asyncio.ensure_future(serve(cloud, app))
        line = await (await cloud.line(0)).accepted()
        await app.taken(line)
        os.kill(os.getpid(), signal.SIGTERM)
        if later:
            await line.until(lambda: bool(line.goaways))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 10)
        assert app.cancelled == 1
    assert "tunnel: ended by a second signal" in caplog.text


async def test_nothing_is_left_of_a_tunnel_that_was_refused_for_good() -> None:
    async def refuse(line: Line) -> None:
        await line.handshake("unauthorized")

    async with Cloud(refuse) as cloud:
        before = asyncio.all_tasks()
        with pytest.raises(TunnelError, match="unauthorized"):
            await serve(cloud)
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() <= before


class Lasting(HeldRequests):
    """An application whose shutdown takes a moment, in which nothing more is sent to it.

    Attributes:
        events: What became of its lifespan.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await super().__call__(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        self.events.append((await receive())["type"])
        with suppress(asyncio.TimeoutError):
            self.events.append((await asyncio.wait_for(receive(), 0.05))["type"])
        self.events.append("has shut down")
        await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize("later", [True, False], ids=["later", "in the same moment"])
async def test_a_second_signal_leaves_the_application_a_moment_for_its_shutdown(later: bool) -> None:
    app = Lasting()
    async with Cloud() as cloud:
        serving = asyncio.ensure_future(serve(cloud, app))
        await (await cloud.line(0)).accepted()
        os.kill(os.getpid(), signal.SIGTERM)
        if later:
            await until(lambda: bool(app.events))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 10)
    assert app.events == ["lifespan.shutdown", "has shut down"]


@pytest.mark.parametrize("again", [False, True], ids=["once", "in every turn"])
async def test_a_tunnel_that_is_cancelled_is_ended_at_once(again: bool) -> None:
    app = Lasting()
    async with Cloud() as cloud:
        before = asyncio.all_tasks()
        serving = asyncio.ensure_future(serve(cloud, app))
        line = await (await cloud.line(0)).accepted()
        await app.taken(line)
        await cancelled(serving, again=again)
        assert (serving.cancelled(), app.cancelled) == (True, 1)
        assert app.events == ["lifespan.shutdown", "has shut down"]
        await line.ended()
        assert asyncio.all_tasks() <= before


@pytest.mark.parametrize("again", [False, True], ids=["once", "in every turn"])
async def test_nothing_is_left_of_a_tunnel_that_is_cancelled_at_any_moment_of_its_start(again: bool) -> None:
    left_over: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left_over.append(context))
    async with Cloud() as cloud:
        before = asyncio.all_tasks()
        for turns in range(20):
            serving = asyncio.ensure_future(serve(cloud))
            for _ in range(turns):
                await asyncio.sleep(0)
            await cancelled(serving, again=again)
            assert serving.cancelled()
            await asyncio.sleep(0.01)
            assert asyncio.all_tasks() <= before, turns
    gc.collect()
    assert left_over == []


async def test_a_tunnel_that_is_cancelled_as_it_fails_leaves_nothing_for_the_log() -> None:
    class Cancelling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if ": stops: " in record.getMessage():
                cancel_after(turns)

    def cancel_after(turns: int) -> None:
        if turns:
            loop.call_soon(cancel_after, turns - 1)
        else:
            serving.cancel()

    left_over: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: left_over.append(context))
    logger, handler = logging.getLogger("restate_identity.tunnel"), Cancelling()
    logger.addHandler(handler)
    try:
        for turns in range(20):  # noqa: B007 (until the cancellation)
            async with Cloud(script("unauthorized")) as cloud:
                serving = asyncio.ensure_future(serve(cloud))
                await asyncio.wait({serving})
                assert serving.cancelled() or isinstance(serving.exception(), TunnelError)
    finally:
        logger.removeHandler(handler)
    gc.collect()
    assert left_over == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_the_handlers_of_before_are_put_back_after_the_last_tunnel(order: tuple[int, int]) -> None:
    before = [signal.signal(number, ours) for number in STOPS]
    try:
        async with Cloud() as a, Cloud() as b:
            clouds = (a, b)
            serving = [asyncio.ensure_future(serve(cloud)) for cloud in clouds]
            for cloud in clouds:
                await (await cloud.line(0)).accepted()
            serving[order[0]].cancel()
            await asyncio.wait({serving[order[0]]})
            # The other one still stops on a signal.
            os.kill(os.getpid(), signal.SIGTERM)
            await serving[order[1]]
        assert [signal.getsignal(number) for number in STOPS] == [ours, ours]
    finally:
        for number, handler in zip(STOPS, before, strict=True):
            signal.signal(number, handler)


class Taking(HeldRequests):
    """An application that takes the signals for itself: when it is called, and again when it is let go."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._take()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._take()

    def _take(self) -> None:
        for number in STOPS:
            signal.signal(number, ours)


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("at_the_end", [False, True])
async def test_an_application_that_takes_the_signals_for_itself_does_not_keep_them(
    stop: signal.Signals, at_the_end: bool
) -> None:
    app = Taking()
    async with Cloud() as cloud:
        serving = asyncio.ensure_future(serve(cloud, app))
        line = await (await cloud.line(0)).accepted()
        exchange = await app.taken(line)
        if at_the_end:
            app.let_go()
            await exchange.whole()
        assert signal.getsignal(stop) is not ours
        os.kill(os.getpid(), stop)
        app.let_go()
        await asyncio.wait_for(serving, 20)


def test_only_in_the_main_thread_can_signals_stop_a_tunnel() -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(RuntimeError, match="only the main thread can: use connect_"):
        threads.submit(asyncio.run, serve_at("http://127.0.0.1:1")).result()


async def test_an_application_that_outlives_its_tunnel_does_not_take_the_signals_back() -> None:
    left = asyncio.Event()

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        if scope["type"] != "http":
            raise NotImplementedError
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await left.wait()

    before = signal.signal(signal.SIGTERM, ours)
    try:
        async with Cloud() as cloud:
            serving = asyncio.ensure_future(serve(cloud, stubborn))
            line = await (await cloud.line(0)).accepted()
            line.open(f"{PREFIX}{PATH}", SIGNER.headers(PATH), end=True)
            await asyncio.sleep(0.1)
            os.kill(os.getpid(), signal.SIGTERM)
            await line.until(lambda: bool(line.goaways))
            os.kill(os.getpid(), signal.SIGTERM)  # at once
            await serving
            left.set()
            await asyncio.sleep(0.05)
            assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


def from_a_handler(stop: Callable[[], None]) -> None:
    def handler(*_: Any) -> None:
        stop()

    signal.signal(signal.SIGUSR1, handler)
    threading.Timer(0.2, partial(os.kill, os.getpid(), signal.SIGUSR1)).start()


def from_a_thread(stop: Callable[[], None]) -> None:
    threading.Timer(0.2, stop).start()


@pytest.mark.parametrize("ask", [from_a_handler, from_a_thread])
def test_a_tunnel_can_be_stopped_from_a_signal_handler_or_a_thread_while_nothing_happens(
    ask: Callable[[Callable[[], None]], None],
) -> None:
    async def test() -> None:
        async with Cloud() as cloud, opened(cloud) as tunnel:
            await tunnel.ready()
            ask(tunnel.stop)
            await tunnel.wait_closed()
            tunnel.stop()  # once more does nothing

    before = signal.getsignal(signal.SIGUSR1)
    try:
        run(asyncio.wait_for(test(), 20))
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_wakes_a_loop_in_which_nothing_happens() -> None:
    async def test() -> None:
        async with Cloud() as cloud:
            serving = asyncio.ensure_future(serve(cloud))
            await (await cloud.line(0)).accepted()
            threading.Timer(0.5, partial(os.kill, os.getpid(), signal.SIGTERM)).start()
            await serving

    run(asyncio.wait_for(test(), 20))
