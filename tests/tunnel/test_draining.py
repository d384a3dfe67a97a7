"""Handing over to another connection, and stopping: what is in flight finishes, and nothing that comes is lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from unittest.mock import ANY

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import PingFrame

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel.state import ConnectionState, EndingKind
from restate_identity.tunnel.timings import TunnelTimings
from tests.tunnel.cloud import Cloud, Exchange, Line, StreamResetError
from tests.tunnel.dialling import ECHO, QUICK, Dialled, Held, dialled, serving, until

ALL_STREAMS = 2**31 - 1
BRIEF = replace(QUICK, grace=0.3, drain_grace=0.3, farewell=0.2)
PATIENT = replace(QUICK, grace=600, drain_grace=600, ping_answer=60)


@asynccontextmanager
async def busy(timings: TunnelTimings = PATIENT) -> AsyncIterator[tuple[Held, Dialled, Line, Exchange]]:
    """Give a connection with a request in flight, and the application that holds it."""
    app = Held()
    async with serving(app, timings=timings) as (here, line):
        yield app, here, line, await app.taken(line)


async def test_a_server_that_drains_is_answered_and_served_until_it_leaves(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with busy() as (app, here, line, exchange):
        assert (await line.drain()).status == 200
        assert (here.connection.state, here.drains) == (ConnectionState.DRAINING, 1)
        assert here.connection.takes_requests
        assert "drains: the server asked for a replacement, 1 requests in flight" in caplog.text
        app.let_go()
        assert (await exchange.whole()).body == b"late"
        # Idle or not, and whatever the server still sends.
        for _ in range(3):
            assert (await line.request(ECHO)).body == b"late"
        assert (line.goaways, here.task.done()) == ([], False)
        line.close()
        assert (await here.ending()).kind is EndingKind.DRAINED


async def test_what_a_draining_server_had_on_its_way_when_it_says_that_it_leaves_is_still_served() -> None:
    async with busy() as (app, here, line, _):
        await line.drain()
        line.goaway()
        late = line.open(ECHO, end=True)
        await until(lambda: app.entered == 2)
        app.let_go()
        assert (await late.whole()).body == b"late"
        assert (await here.ending()).kind is EndingKind.DRAINED
        assert (line.goaways[0], here.drains) == ((ALL_STREAMS, ErrorCodes.NO_ERROR), 1)
        await line.ended()


async def test_what_crosses_our_last_goodbye_is_still_served() -> None:
    app = Held()
    async with serving(app, timings=PATIENT) as (here, line):
        # The server has not seen the goodbye when it opens more.
        line.transport.pause_reading()
        line.goaway()
        await until(lambda: here.drains == 1)
        await asyncio.sleep(0.05)
        crossing = [line.open(ECHO, end=True) for _ in range(3)]
        line.transport.resume_reading()
        # A round trip: by now the tunnel has the answer to its goodbye.
        line.h2.ping(b"seen yet")
        line.flush()
        await line.until(lambda: line.pongs == 1)
        app.let_go()
        assert [(await exchange.whole()).status for exchange in crossing] == [200] * 3
        # And the server is asked once more whether anything is on its way.
        assert await here.ending() == (EndingKind.DRAINED, "no request is in flight any more", ANY)
        assert line.pings == 2


async def test_an_idle_connection_ends_at_once_when_the_server_says_that_nothing_more_comes() -> None:
    async with serving(timings=PATIENT) as (here, line):
        line.goaway()
        ending = await here.ending()
        assert (ending.kind, here.drains) == (EndingKind.DRAINED, 1)
        assert ending.served_for > 0


async def test_a_goaway_of_the_server_is_a_drain_too() -> None:
    app = Held()
    async with serving(app, timings=PATIENT) as (here, line):
        exchange = line.open(ECHO)
        await until(lambda: app.entered == 1)
        line.goaway()
        await until(lambda: here.drains == 1)
        # What is open goes on in both directions.
        await exchange.send(b"x" * 100_000, end=True)
        app.let_go()
        assert (await exchange.whole()).body == b"late"
        assert (await here.ending()).kind is EndingKind.DRAINED


async def test_a_goaway_with_an_error_ends_the_connection() -> None:
    async with serving(timings=PATIENT) as (here, line):
        line.goaway(ErrorCodes.INTERNAL_ERROR)
        ending = await here.ending()
        assert (ending.kind, here.drains) == (EndingKind.RETRY, 0)
        assert "error code 2" in ending.reason


async def test_a_connection_that_drains_and_is_idle_ends_after_the_grace_and_what_crosses_that_is_served() -> None:
    async with serving(timings=BRIEF) as (here, line):
        await line.drain()
        line.transport.pause_reading()
        await until(lambda: here.connection.state is ConnectionState.LEAVING)
        crossing = line.open(ECHO, end=True)
        line.transport.resume_reading()
        assert (await crossing.whole()).status == 200
        assert (await here.ending()).kind is EndingKind.DRAINED
        assert line.goaways[0] == (ALL_STREAMS, ErrorCodes.NO_ERROR)


async def test_what_crosses_the_end_of_the_grace_keeps_the_connection_only_for_the_farewell() -> None:
    app = Held()
    async with serving(app, timings=replace(BRIEF, farewell=1)) as (here, line):
        await line.drain()
        line.transport.pause_reading()
        await until(lambda: here.connection.state is ConnectionState.LEAVING)
        line.open(ECHO, end=True)
        line.transport.resume_reading()
        await until(lambda: app.entered == 1)
        assert (await here.ending()).kind is EndingKind.DRAINED


async def test_a_server_that_leaves_while_it_drains_leaves_the_grace_to_what_is_in_flight() -> None:
    async with busy(replace(PATIENT, farewell=0.05)) as (app, here, line, exchange):
        await line.drain()
        line.goaway()
        await until(lambda: here.connection.state is ConnectionState.LEAVING)
        await asyncio.sleep(0.2)
        app.let_go()
        assert (await exchange.whole()).body == b"late"


async def test_a_connection_that_drains_is_torn_down_after_the_grace() -> None:
    async with busy(BRIEF) as (app, here, line, exchange):
        await line.drain()
        ending = await here.ending()
        assert ending.kind is EndingKind.DRAINED
        assert "the grace period of 0.3 s is over, with 1 requests in flight" in ending.reason
        with pytest.raises(StreamResetError):
            await exchange.whole()
        # It is told at once, and ended when it does not listen.
        await until(lambda: app.cancelled == 1)


async def test_a_drain_in_one_piece_with_the_trailers_serves_first() -> None:
    async with Cloud(None) as cloud, dialled(cloud.target, timings=PATIENT) as here:
        line = await cloud.line(0)
        handshake = await line.opened_handshake()
        line.hold_back()
        handshake.trailers(line.outcome())
        drain = line.open("/_/drain-tunnel", method="GET", end=True)
        exchange = line.open(ECHO, end=True)
        line.let_go()
        assert (await drain.whole()).status == 200
        assert (await exchange.whole()).status == 200
        assert (here.served, here.drains) == (1, 1)
        line.close()
        assert (await here.ending()).kind is EndingKind.DRAINED


async def test_asking_for_a_drain_many_times_is_asking_once() -> None:
    async with busy() as (app, here, line, exchange):
        assert [(await line.drain()).status for _ in range(20)] == [200] * 20
        line.goaway()
        app.let_go()
        await exchange.whole()
        await here.ending()
        assert here.drains == 1


@pytest.mark.parametrize("how", ["close", "kill"])
async def test_a_server_that_leaves_while_it_drains_has_drained(how: str) -> None:
    async with busy() as (app, here, line, _):
        await line.drain()
        getattr(line, how)()
        ending = await here.ending()
        assert ending.kind is EndingKind.DRAINED
        assert "with 1 requests in flight" in ending.reason
        app.let_go()


async def test_seconds_of_draining_are_not_seconds_of_serving() -> None:
    async with busy() as (_, here, line, _):
        await line.drain()
        served_for = here.connection.served_for
        await asyncio.sleep(0.05)
        assert here.connection.served_for == served_for > 0
        line.close()
        assert (await here.ending()).served_for == served_for


async def test_stopping_says_so_before_what_is_in_flight_completes() -> None:
    async with busy() as (app, here, line, exchange):
        here.connection.stop()
        await line.until(lambda: bool(line.goaways))
        assert line.goaways == [(ALL_STREAMS, ErrorCodes.NO_ERROR)]
        assert exchange.headers is None
        app.let_go()
        assert (await exchange.whole()).body == b"late"
        assert (await here.ending()).kind is EndingKind.STOPPED
        # Only what is idle asks whether anything more is on its way.
        assert line.pings == 1


async def test_while_it_stops_new_work_is_refused_without_running_the_application() -> None:
    async with busy() as (app, here, line, exchange):
        here.connection.stop()
        here.connection.stop()  # once is enough
        for path in (ECHO, "/_/health", "/_/drain-tunnel"):
            response = await line.request(path, body=b"new")
            assert (response.status, response.headers["x-restate-tunnel-draining"]) == (503, "true")
        assert (app.entered, here.drains) == (1, 0)
        app.let_go()
        assert (await exchange.whole()).status == 200
        assert (await here.ending()).kind is EndingKind.STOPPED


async def test_large_answers_are_complete_before_the_connection_closes() -> None:
    async with serving(timings=PATIENT) as (here, line):
        body = b"x" * 3_000_000
        exchange = line.open(ECHO)
        await exchange.response()
        here.connection.stop()
        sending = asyncio.ensure_future(exchange.send(body, end=True))
        assert (await exchange.whole()).body == body
        await sending
        assert (await here.ending()).kind is EndingKind.STOPPED


async def test_stopping_as_soon_as_it_serves_is_prompt_whatever_was_waiting() -> None:
    async with Cloud(None) as cloud, dialled(cloud.target, timings=PATIENT) as here:
        here.on_accepted = lambda: here.connection.stop()
        line = await cloud.line(0)
        handshake = await line.opened_handshake()
        line.hold_back()
        waiting = line.open(ECHO, end=True)
        handshake.trailers(line.outcome())
        line.let_go()
        assert (await waiting.whole()).status == 503
        assert (await here.ending()).kind is EndingKind.STOPPED


async def test_stopping_an_idle_connection_is_prompt() -> None:
    async with serving(timings=PATIENT) as (here, line):
        here.connection.stop()
        assert (await here.ending()).kind is EndingKind.STOPPED
        await line.ended()


async def test_stopping_during_the_handshake_is_prompt() -> None:
    async with Cloud(None) as cloud, dialled(cloud.target, timings=PATIENT) as here:
        line = await cloud.line(0)
        await line.opened_handshake()
        here.connection.stop()
        assert (await here.ending()).kind is EndingKind.STOPPED
        await line.ended()


@pytest.mark.parametrize("drains", [False, True])
async def test_a_server_that_no_longer_reads_does_not_hold_up_the_stop(drains: bool) -> None:
    # Neither the grace nor the time for a ping is what it waits for.
    async with serving(timings=replace(PATIENT, ping_answer=600, farewell=0.2)) as (here, line):
        if drains:
            await line.drain()
        line.freeze()
        here.connection.stop()
        assert (await here.ending()).kind is EndingKind.STOPPED


async def test_the_socket_of_a_server_that_no_longer_reads_is_closed_with_what_it_has_not_read() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(64 * 2**20)})

    async with serving(app, timings=BRIEF, settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**30}) as (here, line):
        line.h2.increment_flow_control_window(2**30)
        line.freeze()
        line.open(ECHO, end=True)
        await until(lambda: here.connection.in_flight == 1)
        here.connection.stop()
        await here.ending()
        connection = weakref.ref(here.connection)
        del here.connection
        # The event loop would keep it alive for as long as its socket is open.
        await until(lambda: gc.collect() >= 0 and connection() is None)


async def test_what_the_server_has_not_read_yet_is_in_flight_too() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        chunk = b"x" * 2**16
        # Until there is no room, in no buffer on the way.
        with suppress(asyncio.TimeoutError):
            while True:
                message = {"type": "http.response.body", "body": chunk, "more_body": True}
                await asyncio.wait_for(send(message), 0.5)
                sent += len(chunk)

    windows = {SettingCodes.INITIAL_WINDOW_SIZE: 2**30}
    async with serving(app, settings=windows, timings=replace(PATIENT, farewell=2)) as (here, line):
        line.h2.increment_flow_control_window(2**30)
        exchange = line.open(ECHO, end=True)
        await exchange.response()
        line.transport.pause_reading()
        await until(lambda: here.connection.in_flight == 0)
        here.connection.stop()
        await asyncio.sleep(3)
        assert not here.task.done()
        line.transport.resume_reading()
        ending = await here.ending()
        assert (ending.kind, ending.reason) == (EndingKind.STOPPED, "no request is in flight any more")
        assert exchange.total >= sent > 0


async def test_a_server_that_is_slow_to_answer_but_still_sends_is_waited_for() -> None:
    async with serving(timings=replace(PATIENT, farewell=0.2)) as (here, line):
        line.transport.pause_reading()
        here.connection.stop()
        for _ in range(15):
            line.raw(PingFrame(0, b"12345678"))
            await asyncio.sleep(0.05)
        crossing = line.open(ECHO, end=True)
        line.transport.resume_reading()
        assert (await crossing.response())[":status"] == "503"
        ending = await here.ending()
        assert (ending.kind, ending.reason) == (EndingKind.STOPPED, "no request is in flight any more")


async def test_when_the_grace_is_over_stopping_is_forced_and_the_application_is_cancelled() -> None:
    async with busy(BRIEF) as (app, here, _, exchange):
        here.connection.stop()
        ending = await here.ending()
        assert ending.kind is EndingKind.STOPPED
        assert "the grace period of 0.3 s is over, with 1 requests in flight" in ending.reason
        await until(lambda: app.cancelled == 1)
        with pytest.raises(StreamResetError):
            await exchange.whole()


async def test_when_the_grace_is_over_an_application_that_listens_may_say_goodbye() -> None:
    goodbyes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        while (await receive())["type"] != "http.disconnect":
            pass
        goodbyes.append("disconnected")

    async with serving(app, timings=BRIEF) as (here, line):
        line.open(ECHO)
        await until(lambda: here.connection.in_flight == 1)
        here.connection.stop()
        await here.ending()
        assert goodbyes == ["disconnected"]


async def test_stopping_while_the_server_drains_is_a_stop() -> None:
    async with busy() as (app, here, line, exchange):
        await line.drain()
        here.connection.stop()
        refused = await line.request(ECHO)
        assert (refused.status, refused.headers["x-restate-tunnel-draining"]) == (503, "true")
        app.let_go()
        assert (await exchange.whole()).status == 200
        assert (await here.ending()).kind is EndingKind.STOPPED


async def test_a_cancelled_run_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with busy() as (app, here, line, _):
        here.task.cancel()
        await asyncio.wait({here.task})
        assert here.task.cancelled()
        assert caplog.messages[-1].endswith("ended: cancelled")
        await line.ended()
        await until(lambda: app.cancelled == 1)
        assert here.connection.state is ConnectionState.CLOSED


@pytest.mark.parametrize("leaving", [False, True])
async def test_nothing_is_left_of_a_connection_that_has_ended(leaving: bool) -> None:
    timings = replace(PATIENT, grace=600, drain_grace=600, ping_every=600, handshake=600, farewell=600)
    async with Cloud() as cloud, dialled(cloud.target, timings=timings) as here:
        line = await (await cloud.line(0)).accepted()
        await until(lambda: here.served == 1)
        await line.drain()
        if leaving:
            line.answers = False
            line.goaway()
            await until(lambda: here.connection.state is ConnectionState.LEAVING)
        line.close()
        assert (await here.ending()).kind is EndingKind.DRAINED
        connection = weakref.ref(here.connection)
        del here.connection, line
        cloud.lines.clear()
        # A timer would keep it alive.
        await asyncio.sleep(0.1)
        gc.collect()
        assert connection() is None
