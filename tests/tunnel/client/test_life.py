"""How the client starts, drains and ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from restate_identity.asgi import Message
from restate_identity.tunnel import TunnelError
from restate_identity.tunnel.client import AllowList, ClientSettings, Limits, TunnelClient, run
from restate_identity.tunnel.client.exchange import ExchangeError, RequestHead, Version
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.passage import pass_through
from restate_identity.tunnel.client.request_body import RequestBody
from tests.tunnel.client.clients import HTTP1, forwarded, forwarding, opened, sent, signed
from tests.tunnel.client.http1_target import Http1Target, Peer
from tests.tunnel.client.http2_target import Http2Target, Served
from tests.tunnel.cloud import Cloud, Line
from tests.tunnel.dialling import until
from tests.tunnel.traffic import Traffic
from tests.tunnel.tunnels import SOON, STEADY, configured

HEAD = RequestHead(b"GET", b"/", b"127.0.0.1", [], ended=True)


class Beside:
    """A companion that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.client: TunnelClient | None = None

    async def start(self, client: TunnelClient) -> None:
        self.client = client
        self.told.append("start")

    async def drain(self, within: float) -> None:
        self.told.append(within)


class BesideForEver(Beside):
    async def drain(self, within: float) -> None:  # noqa: ARG002
        try:
            await asyncio.Event().wait()
        finally:
            self.told.append("cancelled")


def settings(cloud: Cloud, *targets: str, token_file: Path | None = None, **given: object) -> ClientSettings:
    options = configured(str(cloud.target), token_file=token_file)
    return ClientSettings(
        options=options,
        targets=AllowList.parse(targets or ["greeter"]),
        timings=SOON,
        **given,  # type: ignore[arg-type]
    )


def answering(served: Served) -> None:
    served.answer()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_what_is_in_flight_finish_everywhere(stop: signal.Signals) -> None:
    beside = Beside()
    async with Http2Target() as target, Cloud() as cloud:
        running = asyncio.ensure_future(run(settings(cloud, target.origin), [beside]))
        line = await (await cloud.line(0)).accepted()
        exchange = opened(line, target.origin)
        served = await target.request()
        os.kill(os.getpid(), stop)
        await line.until(lambda: bool(line.goaways))
        late = await sent(line, target.origin)
        assert (late.status, late.headers["x-restate-tunnel-draining"]) == (503, "true")
        assert not running.done()
        await exchange.send(b"last words", end=True)
        await until(lambda: served.complete)
        served.answer()
        assert (await exchange.whole()).body == b"done"
        await running
        await until(lambda: target.ends[0].lost)
        assert (bytes(served.body), target.ends[0].goaways) == (b"last words", 1)
        assert beside.told == ["start", SOON.grace]


@pytest.mark.parametrize(
    ("targets", "segments"),
    [
        (["http://greeter:9080", "https://[fd00::7]", "10.0.0.0/8"], ["/http/greeter/9080/", "/https/[fd00::7]/443/"]),
        (["*.internal"], ["/<scheme>/<host>/<port>/"]),
    ],
)
async def test_the_log_says_which_deployments_to_register(
    targets: list[str], segments: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with forwarding(*targets) as (client, _):
        await client.tunnel.ready()
    urls = [line.partition(" to register is ")[2] for line in caplog.messages if " to register is " in line]
    assert urls == [f"https://tunnel.test:9080/environment/greeter{each}" for each in segments]


async def test_after_the_client_is_closed_no_connection_is_left() -> None:
    async with Http2Target(on_complete=answering) as target:
        async with forwarding(target.origin, limits=Limits(idle=600)) as (client, line):
            assert (await sent(line, target.origin)).status == 200
        assert not client.tunnel.is_serving
        with pytest.raises(ExchangeError, match=r"^the client has stopped$"):
            await client.pool.open(Origin("http", "127.0.0.1", target.port), Version.HTTP2, HEAD)
        await until(lambda: target.ends[0].lost)
        assert target.ends[0].goaways == 1


async def test_a_second_signal_ends_everything_at_once() -> None:
    async with Http2Target() as target, Cloud() as cloud:
        beside = BesideForEver()
        running = asyncio.ensure_future(run(settings(cloud, target.origin), [beside]))
        line = await (await cloud.line(0)).accepted()
        opened(line, target.origin)
        served = await target.request()
        os.kill(os.getpid(), signal.SIGTERM)
        await line.until(lambda: bool(line.goaways))
        assert not running.done()
        os.kill(os.getpid(), signal.SIGTERM)
        await running
        await until(lambda: served.reset_code is not None or target.ends[0].lost)
        await until(lambda: beside.told == ["start", "cancelled"])


@pytest.mark.parametrize("how", ["two signals", "a cancellation"])
async def test_two_signals_at_once_or_a_cancellation_leave_no_time_to_anybody(how: str) -> None:
    async with Http2Target() as target, Cloud() as cloud:
        beside = Beside()
        before = asyncio.all_tasks()
        running = asyncio.ensure_future(run(settings(cloud, target.origin), [beside]))
        line = await (await cloud.line(0)).accepted()
        opened(line, target.origin)
        await target.request()
        if how == "two signals":
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
        else:
            running.cancel()
        await asyncio.wait_for(asyncio.wait({running}), 10)
        assert running.cancelled() is (how == "a cancellation")
        assert beside.told == ["start", 0]
        await line.ended()
        await until(lambda: target.ends[0].lost)
        assert asyncio.all_tasks() <= before


async def test_a_companion_that_fails_as_it_drains_is_logged_and_the_others_finish(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Beside):
        async def drain(self, within: float) -> None:  # noqa: ARG002
            raise OSError("it is gone")

    async with Cloud() as cloud:
        beside = Beside()
        running = asyncio.ensure_future(run(settings(cloud), [Failing(), beside]))
        await (await cloud.line(0)).accepted()
        os.kill(os.getpid(), signal.SIGTERM)
        await running
        assert beside.told == ["start", SOON.grace]
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 1
        assert "it is gone" in errors[0]


async def test_unauthorized_ends_the_client_and_the_message_says_what_to_do() -> None:
    async def refuse(line: Line) -> None:
        await line.handshake("unauthorized")

    beside = Beside()
    async with Cloud(refuse) as cloud:
        with pytest.raises(TunnelError, match=r"does not accept the auth token \(unauthorized\): check"):
            await run(settings(cloud), [beside])
        assert len(cloud.lines) == 1
        assert beside.told == ["start", SOON.grace]


async def test_a_companion_that_cannot_start_ends_the_client_before_it_dials() -> None:
    class Failing(Beside):
        async def start(self, client: TunnelClient) -> None:
            await super().start(client)
            raise OSError("the port is in use")

    first, failing = Beside(), Failing()
    async with Cloud() as cloud:
        with pytest.raises(OSError, match="in use"):
            await run(settings(cloud), [first, failing])
        assert not cloud.lines
        assert [beside.told for beside in (first, failing)] == [["start", SOON.grace]] * 2


async def test_the_token_file_is_read_again_at_each_dial(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-token\n")
    async with Cloud() as cloud:
        running = asyncio.ensure_future(run(settings(cloud, token_file=file)))
        line = await (await cloud.line(0)).accepted()
        assert line.hello["authorization"] == "Bearer first-token"
        file.write_text("second-token\n")
        line.kill()
        assert (await (await cloud.line(1)).accepted()).hello["authorization"] == "Bearer second-token"
        os.kill(os.getpid(), signal.SIGTERM)
        await running


async def test_a_token_file_that_is_missing_at_the_start_is_an_error(tmp_path: Path) -> None:
    async with Cloud() as cloud:
        with pytest.raises(ValueError, match="cannot be read"):
            await run(settings(cloud, token_file=tmp_path / "none"))
        assert not cloud.lines


@pytest.mark.parametrize("version", [Version.HTTP1, Version.HTTP2])
async def test_a_body_that_cannot_be_read_gives_the_request_up(
    version: Version, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> Message:
        raise KeyError("why")

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    statuses: list[int | None] = []
    silent = Http2Target() if version is Version.HTTP2 else Http1Target(lambda peer: peer.reader.read())
    async with silent as target, forwarding(target.origin) as (client, _):
        opening = partial(client.pool.open, Origin("http", "127.0.0.1", target.port), version)
        head = HEAD._replace(ended=False)
        await asyncio.wait_for(pass_through(opening, head, RequestBody(broken), send, client.counters), 20)
    assert statuses == [502, None]
    assert "the body of a request could not be passed on" in caplog.text


async def test_no_request_is_lost_while_tunnel_connections_drain_and_targets_go_away() -> None:
    async with Http2Target(on_complete=answering) as target, Cloud() as cloud:
        running = asyncio.ensure_future(run(replace(settings(cloud, target.origin), timings=STEADY)))
        await (await cloud.line(0)).accepted()
        async with Traffic(cloud, prefix=forwarded(target.origin, "")) as traffic:
            for number in range(3):
                await traffic.more(30)
                await (await (await cloud.line(number)).accepted()).drain()
                await traffic.more(30)
                end = target.ends[-1]
                end.goaway(last=max(served.stream_id for served in target.served if served.end is end))
            await traffic.more(30)
        assert traffic.lost == []
        assert traffic.sent > 200
        assert len(target.ends) > 3
        os.kill(os.getpid(), signal.SIGTERM)
        await running


async def test_targets_that_are_killed_cost_their_requests_and_are_dialled_again() -> None:
    async def reply(peer: Peer) -> None:
        while head := await peer.head():
            await peer.body(head)
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async with (
        Http2Target(on_complete=answering) as http2,
        Http1Target(reply) as http1,
        forwarding(http2.origin, http1.origin) as (client, line),
    ):
        for round_ in range(1, 4):
            for origin, headers in ((http2.origin, {}), (http1.origin, HTTP1)):
                assert (await line.request(forwarded(origin), signed(headers), body=b"a")).status == 200
            assert (len(http2.ends), len(http1.peers)) == (round_, round_)
            http2.ends[-1].transport.abort()
            http1.peers[-1].writer.transport.abort()
            await until(lambda: client.pool.connections == 0)
