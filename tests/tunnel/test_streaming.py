"""Both bodies flow at the same time, and neither side can make the other one hoard."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from unittest.mock import Mock

import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from restate_identity.asgi import ASGIApp, Message, Receive, Scope, Send
from restate_identity.tunnel.turns import Turns
from tests.tunnel.cloud import PREFIX, Exchange, Line, StreamResetError
from tests.tunnel.dialling import ECHO, QUICK, run, serving, until
from tests.tunnel.tunnels import EACH_LOOP

MEBIBYTE = 2**20
STREAM_WINDOW = MEBIBYTE
CONNECTION_WINDOW = 16 * MEBIBYTE
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Message = {"type": "http.response.body"}


def answering(body: bytes) -> ASGIApp:
    """Return an application that answers every request with *body*."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(START)
        await send({**BODY, "body": body})

    return app


@EACH_LOOP
async def test_request_and_response_flow_at_the_same_time() -> None:
    async with serving() as (_, line):
        exchange = line.open(ECHO)
        assert (await exchange.response())[":status"] == "200"
        for word in (b"one", b"two", b"three"):
            await exchange.send(word)
            assert await exchange.read() == word
        exchange.end()
        assert await exchange.read() == b""


async def test_what_an_application_does_at_a_time_of_its_own_reaches_the_server_at_once() -> None:
    steps = asyncio.Semaphore(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await steps.acquire()
        await send(START)
        await steps.acquire()
        raise RuntimeError

    async with serving(app) as (here, line):
        exchange = line.open(ECHO, end=True)
        await until(lambda: here.connection.in_flight == 1)
        await asyncio.sleep(0.01)
        steps.release()
        await exchange.response()
        steps.release()
        await line.until(lambda: exchange.reset_code == ErrorCodes.INTERNAL_ERROR)


async def test_large_bodies_come_through_in_both_directions() -> None:
    body = bytes(range(256)) * 4096 * 10
    async with serving() as (_, line):
        exchange = line.open(ECHO)
        sending = asyncio.ensure_future(exchange.send(body, end=True))
        response = await exchange.whole()
        await sending
        assert response.body == body


async def test_many_streams_share_a_connection() -> None:
    async with serving() as (here, line):
        bodies = [b"%d" % number * 5000 for number in range(100)]
        responses = await asyncio.gather(*(line.request(ECHO, body=body) for body in bodies))
        assert [response.body for response in responses] == bodies
        await until(lambda: here.connection.in_flight == 0)


class Paced:
    """An application that takes a part of the request when it is allowed to."""

    def __init__(self) -> None:
        self.taken = 0
        self.messages: list[Message] = []
        self._permits = asyncio.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send(START)
        while True:
            await self._permits.acquire()
            message = await receive()
            self.messages.append(message)
            if message["type"] == "http.disconnect":
                return
            self.taken += len(message["body"])
            if not message["more_body"]:
                break
        await send(BODY)

    def permit(self, times: int = 1) -> None:
        for _ in range(times):
            self._permits.release()


async def test_a_slow_application_stops_the_server_at_the_window_of_the_stream() -> None:
    app = Paced()
    async with serving(app) as (_, line):
        await line.until(lambda: line.settings_known)
        exchange = line.open(ECHO)
        sending = asyncio.ensure_future(exchange.send(b"x" * 5 * MEBIBYTE, end=True))
        await line.until(lambda: exchange.sendable() == 0)
        # Other streams are not held up by it.
        assert (await line.request("/_/health", method="GET")).status == 200
        assert not sending.done()
        assert exchange.sendable() == 0
        app.permit(1000)
        await sending
        assert (await exchange.whole()).status == 200
        assert app.taken == 5 * MEBIBYTE
        assert max(len(message["body"]) for message in app.messages) <= STREAM_WINDOW


async def test_streams_that_nobody_reads_are_bounded_by_the_window_of_the_connection() -> None:
    app = Paced()
    async with serving(app) as (_, line):
        await line.until(lambda: line.settings_known)
        exchanges = [line.open(ECHO) for _ in range(20)]
        sending = [asyncio.ensure_future(exchange.send(b"x" * 2 * MEBIBYTE)) for exchange in exchanges]
        await line.until(lambda: line.h2.outbound_flow_control_window == 0)
        accepted = sum(STREAM_WINDOW - line.h2.streams[e.stream_id].outbound_flow_control_window for e in exchanges)
        assert accepted <= CONNECTION_WINDOW
        for exchange, task in zip(exchanges, sending, strict=True):
            task.cancel()
            exchange.reset()
        # What they held is free again for others.
        await line.until(lambda: line.h2.outbound_flow_control_window > CONNECTION_WINDOW // 4)
        app.permit(1000)
        assert (await line.request(ECHO, body=b"x" * MEBIBYTE)).status == 200


@pytest.mark.parametrize("how", ["answers", "fails", "fails in the middle", "gets more than was said"])
async def test_bodies_that_the_application_leaves_unread_take_no_room_from_later_ones(how: str) -> None:
    arrived = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await arrived.wait()
        if how != "fails":
            await send(START)
        if how != "answers":
            raise RuntimeError(how)
        await send(BODY)

    windows = replace(QUICK, stream_window=64 * 1024, connection_window=256 * 1024)
    async with serving(app, timings=windows) as (_, line):
        await line.until(lambda: line.settings_known)
        for _ in range(8):
            arrived.clear()
            exchange = line.open(ECHO, {"content-length": "1"} if how == "gets more than was said" else {})
            for _ in range(4):
                await exchange.send(b"x" * 16 * 1024)
            assert (await line.request("/_/health", method="GET")).status == 200
            arrived.set()
            with suppress(StreamResetError):
                await exchange.whole()


async def test_an_application_that_waits_for_more_is_told_when_its_answer_is_complete() -> None:
    told: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await send(START)
        await send(BODY)
        told.append(await waiting)

    async with serving(app) as (here, line):
        line.open(ECHO)
        await until(lambda: told == [{"type": "http.disconnect"}] and here.connection.in_flight == 0)


@pytest.mark.parametrize("path", ["/_/health", "/nonsense"])
async def test_a_caller_who_is_answered_without_the_application_is_told_to_send_no_more(path: str) -> None:
    async with serving() as (_, line):
        exchange = line.open(path, method="POST")
        await exchange.response()
        await line.until(lambda: exchange.reset_code == ErrorCodes.NO_ERROR)


async def test_single_bytes_that_wait_for_the_application_reach_it_in_one_piece() -> None:
    app = Paced()
    async with serving(app) as (_, line):
        await line.until(lambda: line.settings_known)
        exchange = line.open(ECHO)
        await exchange.response()
        for _ in range(5000):
            await exchange.send(b"x")
        exchange.end()
        line.h2.ping(b"arrived?")
        line.flush()
        await line.until(lambda: line.pongs == 1)
        app.permit(1000)
        await exchange.whole()
        assert app.taken == 5000
        assert len(app.messages) == 1


class Endless:
    """An application that sends as fast as it is let, and counts."""

    def __init__(self, part: bytes = b"x" * 65536) -> None:
        self.sent = 0
        self.disconnected = False
        self._part = part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await receive()
        listening = asyncio.ensure_future(receive())
        await send(START)
        while not listening.done():
            await send({"type": "http.response.body", "body": self._part, "more_body": True})
            self.sent += len(self._part)
            await asyncio.sleep(0)
        self.disconnected = listening.result()["type"] == "http.disconnect"


@pytest.mark.parametrize("window", [65_535, 3 * MEBIBYTE])
async def test_a_server_that_does_not_read_stops_the_application_at_its_window(window: int) -> None:
    app = Endless()
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: window}
    async with serving(app, settings=settings) as (_, line):
        line.h2.increment_flow_control_window(2**30)
        line.flush()
        exchange = line.open(ECHO, end=True)
        exchange.hold = True
        await line.until(lambda: exchange.total == window)
        assert (await line.request("/_/health", method="GET")).status == 200
        assert app.sent <= window
        exchange.reset()
        await until(lambda: app.disconnected)


# As much as they need, or as much as one frame could take.
@pytest.mark.parametrize("more", [500, 16 * 1024])
async def test_small_answers_behind_a_closed_window_all_come_when_it_opens(more: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(START)
        size = 65_535 if scope["path"] == "/all" else 10
        await send({"type": "http.response.body", "body": b"x" * size})

    async with serving(app, settings={SettingCodes.INITIAL_WINDOW_SIZE: MEBIBYTE}) as (_, line):
        first = line.open(f"{PREFIX}/all", end=True)
        first.hold = True
        await line.until(lambda: first.complete)
        waiting = [line.open(ECHO, end=True) for _ in range(50)]
        for exchange in waiting:
            exchange.hold = True
            await exchange.response()
        assert sum(exchange.total for exchange in waiting) == 0
        line.h2.increment_flow_control_window(more)
        line.flush()
        await line.until(lambda: all(exchange.complete for exchange in waiting))


async def test_a_server_that_reads_nothing_from_its_socket_stops_the_application() -> None:
    app = Endless()
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 2**30}
    async with serving(app, settings=settings) as (here, line):
        line.h2.increment_flow_control_window(2**30)
        line.open(ECHO, end=True)
        line.freeze()
        await until(lambda: app.sent > MEBIBYTE // 4)
        sent = -1
        while sent != app.sent:
            sent = app.sent
            await asyncio.sleep(0.2)
        # What the sockets of both sides take, and no more.
        assert app.sent < 64 * MEBIBYTE
        assert here.connection.in_flight == 1


async def test_what_waits_for_a_socket_goes_on_when_the_server_reads_again() -> None:
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 2**30}
    started: list[str] = []
    let_go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        large = scope["path"] == "/large"
        if not large:
            await let_go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-large", b"x" * 1000)]})
        started.append(scope["path"])
        # After this one, no number of frames has a round size.
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b"x" * (64 * MEBIBYTE if large else 10)})

    async with serving(app, settings=settings) as (here, line):
        line.h2.increment_flow_control_window(2**30)
        line.flush()
        small = [line.open(f"{PREFIX}/small", end=True) for _ in range(10)]
        large = line.open(f"{PREFIX}/large", end=True)
        # No window is opened any more: whoever goes on was woken by the socket.
        for exchange in (*small, large):
            exchange.hold = True
        await line.until(lambda: large.total > 0)
        line.transport.pause_reading()
        await asyncio.sleep(0.2)
        let_go.set()
        await asyncio.sleep(0.1)
        # Not even a header is added to what nobody reads.
        assert started == ["/large"]
        line.transport.resume_reading()
        await line.until(lambda: all(exchange.headers for exchange in small))
        # Heads do not wait for the end of a body.
        assert not large.complete
        await line.until(lambda: large.complete and all(exchange.complete for exchange in small))
        assert large.total == 64 * MEBIBYTE + 1
        await until(lambda: here.connection.in_flight == 0)


async def test_a_body_waits_for_a_piece_of_a_large_one_before_it_and_not_for_its_end() -> None:
    let_go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (the interface of ASGI)
        await send(START)
        await let_go.wait()
        await send({**BODY, "body": bytes(64 * MEBIBYTE if scope["path"] == "/large" else 10)})

    async with serving(app, settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**30}) as (_, line):
        line.h2.increment_flow_control_window(2**30)
        line.flush()
        large, small = (line.open(f"{PREFIX}/{name}", end=True) for name in ("large", "small"))
        for exchange in (large, small):
            exchange.hold = True
            await exchange.response()
        line.transport.pause_reading()
        let_go.set()
        await asyncio.sleep(0.1)
        line.transport.resume_reading()
        await line.until(lambda: small.complete)
        assert not large.complete


async def test_windows_that_the_settings_enlarge_are_used_at_once() -> None:
    async with serving(answering(b"x" * 30_000), settings={SettingCodes.INITIAL_WINDOW_SIZE: 10_000}) as (_, line):
        exchanges = [line.open(ECHO, end=True) for _ in range(2)]
        for exchange in exchanges:
            exchange.hold = True
        await line.until(lambda: [exchange.total for exchange in exchanges] == [10_000] * 2)
        line.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 30_000})
        line.flush()
        await line.until(lambda: all(exchange.complete for exchange in exchanges))


def _memory_while(transfer: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        transfer()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_long_transfer_takes_no_more_memory_than_a_window() -> None:
    total = 24 * MEBIBYTE

    async def test() -> None:
        async with serving() as (_, line):
            await line.until(lambda: line.settings_known)
            exchange = line.open(ECHO)

            async def send() -> None:
                part = b"x" * 65536
                for _ in range(total // len(part)):
                    await exchange.send(part)
                exchange.end()

            sending = asyncio.ensure_future(send())
            received = 0
            async for data in exchange.parts():
                received += len(data)
            await sending
            assert received == total

    assert _memory_while(lambda: run(test())) < 12 * MEBIBYTE


async def test_a_reset_stream_is_a_disconnect_for_the_application() -> None:
    app = Paced()
    app.permit(1000)
    async with serving(app) as (here, line):
        exchange = line.open(ECHO)
        await exchange.send(b"a")
        await until(lambda: app.taken == 1)
        exchange.reset()
        await until(lambda: here.connection.in_flight == 0)
        assert [message["type"] for message in app.messages] == ["http.request", "http.disconnect"]
        assert (await line.request(ECHO)).status == 200


async def test_a_lost_connection_is_a_disconnect_for_the_application() -> None:
    app = Paced()
    app.permit(1000)
    async with serving(app) as (here, line):
        await line.open(ECHO).response()
        line.kill()
        await here.ending()
        await until(lambda: here.connection.in_flight == 0)
        assert [message["type"] for message in app.messages] == ["http.disconnect"]


async def test_sending_to_a_stream_that_was_reset_does_no_harm() -> None:
    outcomes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        outcomes.append("called")
        while (await receive())["type"] != "http.disconnect":
            pass
        await send(START)
        await send({"type": "http.response.body", "body": b"x" * MEBIBYTE, "more_body": True})
        await send(BODY)
        outcomes.append("returned")

    async with serving(app) as (_, line):
        exchange = line.open(ECHO)
        await until(lambda: outcomes == ["called"])
        exchange.reset()
        await until(lambda: outcomes == ["called", "returned"])
        assert (await line.request("/_/health", method="GET")).status == 200


async def test_after_the_answer_the_application_sees_a_disconnect() -> None:
    messages: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        messages.append(await receive())
        await send(START)
        await send(BODY)
        messages.append(await receive())

    async with serving(app) as (here, line):
        assert (await line.request(ECHO, body=b"whole")).status == 200
        await until(lambda: here.connection.in_flight == 0)
        assert messages == [
            {"type": "http.request", "body": b"whole", "more_body": False},
            {"type": "http.disconnect"},
        ]


async def test_the_rest_of_a_request_that_is_answered_early_is_not_wanted() -> None:
    async with serving(answering(b"enough")) as (_, line):
        exchange = line.open(ECHO)
        assert (await exchange.whole()).body == b"enough"
        await line.until(lambda: exchange.over)
        assert exchange.reset_code == ErrorCodes.NO_ERROR


async def test_an_answer_that_breaks_off_is_reset_and_not_taken_for_complete() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(START)
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async with serving(app) as (_, line):
        exchange = line.open(ECHO, end=True)
        with pytest.raises(StreamResetError) as error:
            await exchange.whole()
        assert error.value.args == (ErrorCodes.INTERNAL_ERROR,)


@pytest.mark.parametrize("messages", [[], [START]], ids=["before it answers", "after it has begun to"])
async def test_an_application_that_exits_ends_its_own_request_and_no_other(
    messages: list[Message], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"] != b"exit":
            await answering(b"whole")(scope, receive, send)
            return
        for message in messages:
            await send(message)
        sys.exit(7)

    async with serving(app) as (_, line):
        exchange = line.open(f"{ECHO}?exit", end=True)
        if messages:
            await line.until(lambda: exchange.reset_code == ErrorCodes.INTERNAL_ERROR)
        else:
            assert (await exchange.whole()).status == 500
        assert (await line.request(ECHO)).body == b"whole"
    assert caplog.messages[-1].startswith("the application failed on")


async def test_padding_does_not_use_up_the_window() -> None:
    app = Paced()
    async with serving(app) as (_, line):
        await line.until(lambda: line.settings_known)
        exchange = line.open(ECHO)
        for _ in range(2 * STREAM_WINDOW // 256 + 1):
            await line.until(lambda: exchange.sendable() >= 257)
            line.h2.send_data(exchange.stream_id, b"x", pad_length=255)
            line.flush()
        exchange.end()
        app.permit(1000)
        assert (await exchange.whole()).status == 200


async def test_trailers_of_a_request_are_its_end() -> None:
    async with serving(timings=QUICK) as (_, line):
        exchange = line.open(ECHO)
        await exchange.send(b"body")
        exchange.trailers([("checksum", "1")])
        assert (await exchange.whole()).body == b"body"


@pytest.mark.parametrize("parts", [(16 * 1024,), (10_000,), (8_000, 8_000, 384)])
async def test_streams_that_wait_for_the_window_of_the_connection_have_their_turns(
    parts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(parts)
    async with serving(answering(b"x" * MEBIBYTE), settings={SettingCodes.INITIAL_WINDOW_SIZE: MEBIBYTE}) as (_, line):
        exchanges = [line.open(ECHO, end=True) for _ in range(4)]
        for exchange in exchanges:
            exchange.hold = True
        # The first one has taken all of it.
        await line.until(lambda: sum(exchange.total for exchange in exchanges) == 65_535)
        before = [exchange.total for exchange in exchanges]
        loop = asyncio.get_running_loop()
        call_soon = Mock(wraps=loop.call_soon)
        monkeypatch.setattr(loop, "call_soon", call_soon)
        for turn in range(1, 9):
            for part in parts:
                line.h2.increment_flow_control_window(part)
            line.flush()
            goal = 65_535 + turn * size
            await line.until(lambda goal=goal: sum(exchange.total for exchange in exchanges) == goal)  # type: ignore[misc]
        assert [exchange.total - old for exchange, old in zip(exchanges, before, strict=True)] == [2 * size] * 4
        # They waited, and were not asked again and again.
        assert call_soon.call_count < 100


async def test_nobody_is_asked_again_while_the_server_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answering(bytes(MEBIBYTE)), settings={SettingCodes.INITIAL_WINDOW_SIZE: MEBIBYTE}) as (
        here,
        line,
    ):
        line.transport.pause_reading()
        line.h2.increment_flow_control_window(16 * MEBIBYTE)
        for _ in range(100):
            line.open(ECHO, end=True)
        await until(lambda: here.connection.in_flight > 80)
        await asyncio.sleep(0.2)
        line.h2.increment_flow_control_window(1)
        line.flush()
        loop = asyncio.get_running_loop()
        call_soon = Mock(wraps=loop.call_soon)
        monkeypatch.setattr(loop, "call_soon", call_soon)
        await asyncio.sleep(0.2)
        assert call_soon.call_count < 50


async def test_a_small_window_asks_few_of_many_who_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answering(bytes(65_535))) as (here, line):
        exchanges = [line.open(ECHO, end=True) for _ in range(200)]
        for exchange in exchanges:
            exchange.hold = True
        await until(lambda: here.connection.in_flight > 190)
        await line.until(lambda: all(exchange.headers for exchange in exchanges))
        loop = asyncio.get_running_loop()
        call_soon = Mock(wraps=loop.call_soon)
        monkeypatch.setattr(loop, "call_soon", call_soon)
        line.h2.increment_flow_control_window(1000)
        line.flush()
        await line.until(lambda: sum(exchange.total for exchange in exchanges) == 66_535)
        assert call_soon.call_count < 100


def futures() -> int:
    return sum(type(what) is asyncio.Future for what in gc.get_objects())


async def test_nothing_is_left_of_a_body_that_is_given_up_when_its_own_window_is_closed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(START)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(send({**BODY, "body": bytes(MEBIBYTE)}), 0.05)

    async with serving(app) as (here, line):
        before = futures()
        for _ in range(20):
            exchange = line.open(ECHO, end=True)
            exchange.hold = True
            await line.until(lambda exchange=exchange: exchange.total == 65_535)  # type: ignore[misc]
            # It waited for the window of the connection, and then for its own.
            line.h2.increment_flow_control_window(65_535)
            line.flush()
            await until(lambda: here.connection.in_flight == 0)
        assert futures() - before < 10


async def test_nothing_is_left_of_a_wait_that_is_cancelled() -> None:
    turns = Turns(H2Connection(), is_paused=lambda: True)
    before = futures()
    for stream_id in range(1, 201, 2):
        waiting = asyncio.ensure_future(turns.wait_for_socket(stream_id))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert futures() - before < 50


async def test_small_responses_that_wait_for_the_window_are_sent_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(bytes(65_535 if scope["path"] == "/large" else 1000))(scope, receive, send)

    async with serving(app) as (here, line):
        large = line.open(f"{PREFIX}/large", end=True)
        large.hold = True
        # The window of the connection.
        await line.until(lambda: large.total == 65_535)
        small = [line.open(ECHO, end=True) for _ in range(50)]
        await line.until(lambda: all(exchange.headers for exchange in small))
        loop = asyncio.get_running_loop()
        call_soon = Mock(wraps=loop.call_soon)
        monkeypatch.setattr(loop, "call_soon", call_soon)
        line.h2.increment_flow_control_window(MEBIBYTE)
        line.flush()
        await until(lambda: here.connection.in_flight == 0)
        # One for each stream, one for its end, and some others.
        assert call_soon.call_count < 3 * 50


async def test_what_several_tasks_send_at_once_comes_whole_and_one_after_the_other() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(START)
        parts = [{"type": "http.response.body", "body": letter * 100_000, "more_body": True} for letter in (b"a", b"b")]
        await asyncio.gather(*(send(part) for part in parts))
        await send({"type": "http.response.body", "body": b""})

    async with serving(app) as (_, line):
        answer = await line.open(ECHO, end=True).whole()

    assert answer.body == b"a" * 100_000 + b"b" * 100_000


class LargeFields:
    """Answers with headers or trailers of 50 KB, which are under no window, as soon as it is let go."""

    def __init__(self, part: str, number: int = 300) -> None:
        self._part = part
        self._number = number
        self._let_go = asyncio.Event()
        self._entered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        number = self._entered
        fields = [(b"x-%d-%d" % (number, index), b"z" * 1000) for index in range(50)]
        if self._part == "trailers":
            await send(START)
        self._entered += 1
        await self._let_go.wait()
        if self._part == "headers":
            await send({**START, "headers": fields})
            await send(BODY)
        else:
            await send({**BODY, "trailers": fields})

    async def pile_up(self, line: Line) -> list[Exchange]:
        """Let go of so many at once that most wait, for the server does not read."""
        exchanges = [line.open(ECHO, end=True) for _ in range(self._number)]
        await until(lambda: self._entered == self._number)
        line.transport.pause_reading()
        self._let_go.set()
        await asyncio.sleep(0.1)
        return exchanges


EACH_PART = pytest.mark.parametrize("part", ["headers", "trailers"])


@EACH_PART
async def test_many_large_headers_at_once_wait_until_a_server_reads_them(part: str) -> None:
    app = LargeFields(part)
    async with serving(app) as (here, line):
        exchanges = await app.pile_up(line)
        line.transport.resume_reading()
        assert {(await exchange.whole()).status for exchange in exchanges} == {200}
        await until(lambda: here.connection.in_flight == 0)
        # Nothing is kept of those who waited.
        assert sum(type(what) is asyncio.Future and what.done() for what in gc.get_objects()) < 50


@EACH_PART
async def test_headers_that_wait_for_the_socket_do_not_wait_for_a_neighbour_that_nobody_reads(part: str) -> None:
    large = LargeFields(part)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (large if scope["path"] == "/echo" else answering(bytes(65_535)))(scope, receive, send)

    async with serving(app) as (_, line):
        neighbour = line.open(f"{PREFIX}/slow", end=True)
        neighbour.hold = True
        # The window of the connection.
        await line.until(lambda: neighbour.total == 65_535)
        exchanges = await large.pile_up(line)
        line.transport.resume_reading()
        assert {(await exchange.whole()).status for exchange in exchanges} == {200}


@pytest.mark.parametrize(("number", "size", "comes_first"), [(300, MEBIBYTE, "body"), (20, 16 * MEBIBYTE, "headers")])
async def test_neither_headers_nor_bodies_that_wait_for_the_socket_wait_for_all_of_the_others(
    number: int, size: int, comes_first: str
) -> None:
    fields = LargeFields("headers", number)
    let_go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/echo":
            await fields(scope, receive, send)
            return
        await send(START)
        await let_go.wait()
        await send({**BODY, "body": bytes(size)})

    async with serving(app, settings={SettingCodes.INITIAL_WINDOW_SIZE: size}) as (_, line):
        line.h2.increment_flow_control_window(size)
        body = line.open(f"{PREFIX}/body", end=True)
        await body.response()
        if comes_first == "body":
            headers = await fields.pile_up(line)
            let_go.set()
            await asyncio.sleep(0.1)
            line.transport.resume_reading()
            await body.whole()
            assert not all(exchange.headers for exchange in headers)
        else:
            line.transport.pause_reading()
            let_go.set()
            await asyncio.sleep(0.1)
            headers = await fields.pile_up(line)
            line.transport.resume_reading()
            await line.until(lambda: all(exchange.headers for exchange in headers))
            assert body.total < size


@EACH_PART
async def test_requests_that_are_given_up_while_their_headers_wait_end(part: str) -> None:
    app = LargeFields(part)
    async with serving(app) as (here, line):
        for exchange in await app.pile_up(line):
            exchange.reset()
        await until(lambda: here.connection.in_flight == 0)


@EACH_PART
@pytest.mark.parametrize("how", ["kill", "close"])
async def test_headers_that_wait_when_the_connection_is_lost_end_with_it(how: str, part: str) -> None:
    app = LargeFields(part)
    async with serving(app) as (here, line):
        await app.pile_up(line)
        getattr(line, how)()
        await asyncio.wait_for(here.ending(), 5)


async def test_what_a_server_never_reads_does_not_pile_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(START)
        # Trailers go out in one piece, and no limit of ours applies to them.
        await send({**BODY, "trailers": [(b"x-large", b"z" * 16 * MEBIBYTE)]})

    async with serving(app) as (here, line):
        line.freeze()
        line.open(ECHO, end=True)
        assert (await here.ending()).reason.startswith("the other side does not read what it is sent")


@pytest.mark.parametrize(
    ("messages", "complaint", "status"),
    [
        ([BODY], "the response has not been started", 500),
        ([START, START], "the response has already been started", 200),
        ([START, BODY, BODY], "the response is already complete", 200),
        *(
            ([{"type": kind}], f"unexpected message type {kind!r}", 500)
            for kind in ("", "http.response.debug", "http.response.trailers", "websocket.send")
        ),
    ],
)
async def test_an_application_that_breaks_asgi_is_told_how(
    messages: list[Message], complaint: str, status: int
) -> None:
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        try:
            for message in messages:
                await send(message)
        except RuntimeError as error:
            told.append(str(error))
            raise

    async with serving(app) as (_, line):
        assert (await line.open(ECHO, end=True).response())[":status"] == str(status)
        await until(lambda: told == [complaint])


async def test_of_all_requests_only_those_that_were_not_answered_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/complete":
            await send(START)
            await send(BODY)
        while scope["path"] == "/lost" and (await receive())["type"] != "http.disconnect":
            pass

    async with serving(app) as (here, line):
        assert (await line.request(f"{PREFIX}/complete")).status == 200
        lost = line.open(f"{PREFIX}/lost")
        await until(lambda: here.connection.in_flight == 1)
        lost.reset()
        await until(lambda: here.connection.in_flight == 0)
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
        assert (await line.request(f"{PREFIX}/silent")).status == 500
        assert "the application returned without completing its response to '/silent'" in caplog.text


@pytest.mark.parametrize("closed", ["stream", "shrunk stream", "connection"])
async def test_a_response_goes_on_with_every_byte_for_which_the_window_opens(closed: str) -> None:
    window = MEBIBYTE if closed == "connection" else 65_535
    async with serving(answering(bytes(65_535 + 3)), settings={SettingCodes.INITIAL_WINDOW_SIZE: window}) as (_, line):
        exchange = line.open(ECHO, end=True)
        opens = None if closed == "connection" else exchange.stream_id
        if opens:
            # The connection's has room for exactly the rest.
            line.h2.increment_flow_control_window(3)
        exchange.hold = True
        await line.until(lambda: exchange.total == 65_535)
        if closed == "shrunk stream":
            line.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_000})
            assert (await line.request("/_/health")).status == 200
            line.h2.increment_flow_control_window(535, opens)
        for more in range(1, 4):
            line.h2.increment_flow_control_window(1, opens)
            line.flush()
            await line.until(lambda more=more: exchange.total == 65_535 + more)  # type: ignore[misc]
        await line.until(lambda: exchange.complete)
