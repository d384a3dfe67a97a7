"""The first stream: how a connection introduces itself, and what it makes of the answer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import FrozenInstanceError, replace

import pytest
from hpack import NeverIndexedHeaderTuple
from hyperframe.frame import HeadersFrame

from restate_identity.tunnel.client.tcp import reset
from restate_identity.tunnel.handshake import Acceptance, Credentials, Refusal, outcome
from restate_identity.tunnel.hpack_log import quiet_hpack
from restate_identity.tunnel.state import ConnectionState, EndingKind
from restate_identity.tunnel.timings import TunnelTimings
from tests.tunnel.cloud import PREFIX, PROXY_URL, TUNNEL_URL, Cloud, Line
from tests.tunnel.dialling import CREDENTIALS, ECHO, QUICK, TOKEN, dialled, echo, serving, until

OK = {b"tunnel-status": b"ok", b"tunnel-name": b"greeter", b"proxy-url": b"https://p", b"tunnel-url": b"https://t"}
IMPATIENT = TunnelTimings(connect=0.2, handshake=0.2, farewell=0.2)


def test_the_trailers_of_a_server_that_accepts_us_say_where_we_are_reached() -> None:
    assert outcome(OK.items(), "greeter", TOKEN) == Acceptance("greeter", "https://p", "https://t")


@pytest.mark.parametrize("status", [b"unauthorized", b"bad-tunnel-name"])
def test_a_refusal_that_dialling_again_cannot_mend_is_fatal(status: bytes) -> None:
    refusal = outcome([(b"tunnel-status", status)], "greeter", TOKEN)
    assert isinstance(refusal, Refusal)
    assert refusal.fatal
    assert status.decode() in refusal.reason


@pytest.mark.parametrize("name", [b"another", b"other", b"Greeter"])
def test_a_tunnel_with_another_name_than_ours_is_fatal(name: bytes) -> None:
    refusal = outcome({**OK, b"tunnel-name": name}.items(), "greeter", TOKEN)
    assert isinstance(refusal, Refusal)
    assert refusal.fatal
    assert "opened a tunnel other than 'greeter'" in refusal.reason


@pytest.mark.parametrize(
    "trailers",
    [
        [],
        [(b"tunnel-status", b"ok")],
        [(b"tunnel-status", b"unauthorized"), *OK.items()],
        *([*OK.items(), (name, value)] for name, value in OK.items() if name.startswith(b"tunnel-")),
        *([item for item in OK.items() if item[0] != left_out] for left_out in OK),
    ],
)
def test_any_other_outcome_is_tried_again(trailers: list[tuple[bytes, bytes]]) -> None:
    refusal = outcome(trailers, "greeter", TOKEN)
    assert isinstance(refusal, Refusal)
    assert not refusal.fatal


def test_one_tunnel_too_many_is_tried_again_and_says_so() -> None:
    refusal = outcome([(b"tunnel-status", b"too-many-tunnels")], "greeter", TOKEN)
    assert isinstance(refusal, Refusal)
    assert (refusal.fatal, "too many tunnels" in refusal.reason) == (False, True)


@pytest.mark.parametrize("status", [b"", b"OK", b"maintenance", b"too-many-tunnels-of-yours", b"unauthorised"])
def test_a_status_that_nobody_knows_is_tried_again_and_not_quoted(status: bytes) -> None:
    reason = f"the tunnel server answered with an unknown status of {len(status)} characters"
    assert outcome({**OK, b"tunnel-status": status}.items(), "greeter", TOKEN) == Refusal(False, reason)


def test_neither_the_token_nor_how_to_read_it_is_in_a_description_of_the_credentials() -> None:
    assert "read_token" not in repr(CREDENTIALS)
    with pytest.raises(FrozenInstanceError):
        CREDENTIALS.tunnel_name = "another"  # type: ignore[misc]


def test_only_the_token_is_kept_out_of_the_compression_tables() -> None:
    headers = CREDENTIALS.response_headers(TOKEN, "connection-1")
    assert [header[0] for header in headers if isinstance(header, NeverIndexedHeaderTuple)] == [b"authorization"]


@pytest.mark.parametrize("token", ["t", "greeter", "https", "tunnel.test"])
def test_a_short_token_that_a_url_has_in_it_by_chance_is_no_obstacle(token: str) -> None:
    fields = [(b"tunnel-status", b"ok"), (b"tunnel-name", b"greeter")]
    fields += [(b"proxy-url", b"xhttpsx://atunnel.testa:9080/greeters"), (b"tunnel-url", b"y")]
    assert isinstance(outcome(fields, "greeter", token), Acceptance)


@pytest.mark.parametrize("token", ["t", "abc", "abcdefghijkl"])
def test_a_token_that_is_sent_back_in_a_url_is_not_believed(token: str) -> None:
    fields = [(b"tunnel-status", b"ok"), (b"tunnel-name", b"greeter")]
    fields += [(b"proxy-url", f"https://a.test/{token}/x".encode()), (b"tunnel-url", b"y")]
    assert outcome(fields, "greeter", token) == Refusal(False, "the tunnel server sent the auth token back")


@pytest.mark.parametrize("token", ["abcdefghijkl", "abcdefghijklm"])
def test_a_token_of_12_characters_is_nowhere_in_a_url_by_chance(token: str) -> None:
    for url in (b"proxy-url", b"tunnel-url"):
        assert isinstance(outcome({**OK, url: f"https://x{token}x".encode()}.items(), "greeter", token), Refusal)


async def test_the_socket_of_a_refused_connection_is_closed_without_waiting_for_the_farewell() -> None:
    async with Cloud(None) as cloud, dialled(cloud.target, timings=replace(QUICK, farewell=600)):
        line = await cloud.line(0)
        (await line.opened_handshake()).trailers([("tunnel-status", "unknown")])
        await line.ended()


async def test_a_connection_introduces_itself_and_learns_its_urls(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as (here, line):
        assert "serves 'greeter'" in caplog.text
        assert line.hello == {
            ":status": "200",
            "authorization": f"Bearer {TOKEN}",
            "environment-id": "env_123",
            "tunnel-name": "greeter",
            "tunnel-worker-id": "worker-1",
            "tunnel-connection-id": here.connection.connection_id,
            "supports-drain": "true",
            "supports-client-drain": "true",
        }
        assert here.acceptances[0] == Acceptance("greeter", PROXY_URL, TUNNEL_URL)
        assert here.connection.state is ConnectionState.SERVING
        await line.until(lambda: line.exchanges[1].complete)
        response = await line.request(ECHO, body=b"hello")
        assert (response.status, response.body, response.headers["x-path"]) == (200, b"hello", "/echo")


async def test_every_connection_has_a_name_of_its_own_that_sorts_by_time() -> None:
    async with serving() as (first, _):
        await asyncio.sleep(0.002)
        async with serving() as (second, _):
            names = [first.connection.connection_id, second.connection.connection_id]
            assert names == sorted(set(names))
            assert [len(name) for name in names] == [26, 26]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("end", "did not say whether it accepts the tunnel"),
        ("reset", "reset the handshake"),
        ("go_on", "its trailers do not end"),
    ],
)
async def test_a_handshake_that_ends_without_trailers_is_tried_again(how: str, reason: str) -> None:
    async with Cloud(None) as cloud, dialled(cloud.target) as here:
        line = await cloud.line(0)
        exchange = await line.opened_handshake()
        if how == "go_on":
            block = line.h2.encoder.encode(line.outcome())
            line.raw(HeadersFrame(exchange.stream_id, block, flags=["END_HEADERS"]))
        else:
            getattr(exchange, how)()
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        assert reason in ending.reason


async def test_a_body_before_the_trailers_is_skipped() -> None:
    async with Cloud(None) as cloud, dialled(cloud.target) as here:
        line = await cloud.line(0)
        exchange = await line.opened_handshake()
        for _ in range(4):
            await exchange.send(b"\0" * 2**20)
        exchange.trailers(line.outcome())
        await until(lambda: here.served == 1)


async def _never(line: Line) -> None:
    """Open no stream."""


async def _without_trailers(line: Line) -> None:
    await line.opened_handshake()


async def _with_another_stream(line: Line) -> None:
    line.open(ECHO, end=True)


@pytest.mark.parametrize(
    ("script", "missing"),
    [
        (_never, "open the handshake stream"),
        (_with_another_stream, "open the handshake stream"),
        (_without_trailers, "say whether it accepts us"),
    ],
)
async def test_a_handshake_that_stalls_times_out_and_is_tried_again(script: object, missing: str) -> None:
    async with Cloud(script) as cloud, dialled(cloud.target, timings=IMPATIENT) as here:  # type: ignore[arg-type]
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        assert missing in ending.reason


@pytest.mark.parametrize("how", ["close", "kill", "goaway"])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_connection_that_is_closed_before_or_during_the_handshake_is_tried_again(how: str, begun: bool) -> None:
    async with Cloud(None) as cloud, dialled(cloud.target) as here:
        line = await cloud.line(0)
        if begun:
            await line.opened_handshake()
        getattr(line, how)()
        ending = await here.ending()
        assert (ending.kind, here.served, ending.served_for) == (EndingKind.RETRY, 0, 0.0)


@pytest.mark.parametrize(
    ("how", "reason"), [("close", "the server closed the connection"), ("reset", "Connection reset")]
)
async def test_a_connection_that_is_closed_after_the_handshake_is_tried_again(how: str, reason: str) -> None:
    async with serving() as (here, line):
        if how == "reset":
            reset(line.transport)
        else:
            line.close()
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        assert reason in ending.reason
        assert ending.served_for > 0


@pytest.mark.parametrize(("steady", "level"), [(0.0, logging.INFO), (600.0, logging.DEBUG)])
async def test_the_end_of_a_connection_that_served_for_long_is_news(
    steady: float, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(timings=replace(QUICK, steady=steady)) as (here, line):
        line.close()
        await here.ending()
    assert [record.levelno for record in caplog.records if " ended: " in record.getMessage()] == [level]


@pytest.mark.parametrize("error", [FileNotFoundError("no such file"), ValueError("the token is empty")])
async def test_without_a_token_nothing_is_dialled_and_it_is_tried_again(error: Exception) -> None:
    def unreadable() -> str:
        raise error

    credentials = Credentials("env_123", "greeter", "worker-1", unreadable)
    async with Cloud() as cloud, dialled(cloud.target, credentials=credentials) as here:
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        assert str(error) in ending.reason
        assert cloud.lines == []


@pytest.mark.parametrize("token", [TOKEN, "tökén"])
async def test_the_token_is_in_no_log_and_no_reason(caplog: pytest.LogCaptureFixture, token: str) -> None:
    credentials = Credentials("env_123", "greeter", "worker-1", lambda: token)
    quiet_hpack()
    with caplog.at_level(logging.DEBUG):
        async with Cloud() as cloud, dialled(cloud.target, credentials=credentials) as here:
            line = await cloud.line(0)
            if token == TOKEN:
                await line.accepted()
                await line.request(ECHO, [("x-restate-jwt-v1", token)])
                here.connection.stop()
            assert token not in (await here.ending()).reason
    assert "connection=" in caplog.text
    assert token not in caplog.text


async def test_a_stream_before_the_handshake_gets_the_sentinel_and_the_handshake_still_succeeds() -> None:
    async with Cloud(None) as cloud, dialled(cloud.target) as here:
        line = await cloud.line(0)
        for path in (ECHO, "/_/health", "/_/drain-tunnel", "/_/start-tunnel", "/_/start-tunnels?"):
            for method in ("GET", "POST", "DELETE"):
                if (method, path) != ("GET", "/_/start-tunnel"):
                    response = await line.request(path, method=method, body=b"too early")
                    assert (response.status, response.headers["x-restate-tunnel-draining"]) == (503, "true")
        await line.handshake()
        await until(lambda: here.served == 1)
        assert (await line.request(ECHO, body=b"in time")).body == b"in time"


async def test_the_handshake_stream_may_have_a_query() -> None:
    async with Cloud(None) as cloud, dialled(cloud.target):
        exchange = (await cloud.line(0)).open("/_/start-tunnel?a=b", method="GET")
        assert (await exchange.response())["authorization"] == f"Bearer {TOKEN}"


async def test_streams_that_come_before_the_trailers_wait_for_them_and_are_served() -> None:
    calls: list[str] = []

    async def app(scope: object, receive: object, send: object) -> None:
        calls.append("called")
        await echo(scope, receive, send)  # type: ignore[arg-type]

    async with Cloud(None) as cloud, dialled(cloud.target, app) as here:
        line = await cloud.line(0)
        handshake = await line.opened_handshake()
        early = [line.open(ECHO) for _ in range(3)]
        for exchange in early:
            await exchange.send(b"early", end=True)
        health = line.open("/_/health", method="GET", end=True)
        given_up = line.open(ECHO)
        given_up.reset()
        # A round trip: by now the tunnel has seen them.
        line.h2.ping(b"seen yet")
        line.flush()
        await line.until(lambda: line.pongs == 1)
        assert calls == []
        assert not here.connection.takes_requests
        handshake.trailers(line.outcome())
        assert [(await exchange.whole()).body for exchange in early] == [b"early"] * 3
        assert (await health.whole()).status == 200
        assert (len(calls), here.served) == (3, 1)


async def test_streams_in_one_piece_with_the_trailers_are_served() -> None:
    async with Cloud(None) as cloud, dialled(cloud.target):
        line = await cloud.line(0)
        handshake = await line.opened_handshake()
        line.hold_back()
        handshake.trailers(line.outcome())
        exchange = line.open(f"{PREFIX}/echo")
        await exchange.send(b"together", end=True)
        line.let_go()
        assert (await exchange.whole()).body == b"together"


async def test_streams_that_wait_for_a_refusal_are_closed_with_the_connection() -> None:
    async with Cloud(None) as cloud, dialled(cloud.target) as here:
        line = await cloud.line(0)
        handshake = await line.opened_handshake()
        waiting = line.open(ECHO)
        await waiting.send(b"early", end=True)
        handshake.trailers([("tunnel-status", "unauthorized")])
        ending = await here.ending()
        assert (ending.kind, ending.served_for) == (EndingKind.FATAL, 0.0)
        assert "RESTATE_AUTH_TOKEN" in ending.reason
        await line.ended()
        assert (waiting.headers, here.served, here.connection.state) == (None, 0, ConnectionState.CLOSED)


async def test_the_handshake_happens_once() -> None:
    async with serving() as (_, line):
        response = await line.request("/_/start-tunnel", method="GET")
        assert response.status == 400
        assert "authorization" not in response.headers


async def test_the_text_of_an_unexpected_error_may_have_the_token_in_it_and_is_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise RuntimeError(TOKEN)

    with caplog.at_level(logging.DEBUG, logger="restate_identity.tunnel"):
        async with Cloud() as cloud, dialled(cloud.target) as here:
            here.on_accepted = fail
            ending = await here.ending()
            assert ending.reason.startswith("what the server sent could not be handled (RuntimeError)")
            assert TOKEN not in ending.reason
    assert TOKEN not in caplog.text
