"""A tunnel to one server: dialled again after failures, replaced when it drains, and what is heard of it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from restate_identity.tunnel import Tunnel, TunnelError, connect_tunnel
from restate_identity.tunnel.connect import open_tunnel
from restate_identity.tunnel.connection import Connection
from restate_identity.tunnel.leftovers import Leftovers
from tests.tunnel.cloud import Cloud, Line, tls_pair
from tests.tunnel.dialling import TOKEN, echo, until
from tests.tunnel.tunnels import (
    IDENTIFIED,
    ONCE,
    SOON,
    STEADY,
    Fixed,
    HeldRequests,
    call,
    configured,
    opened,
    script,
)

# Long enough for a dial that must not happen to happen, without being what a test waits for.
A_MOMENT = 0.15


async def test_too_many_tunnels_is_tried_again_until_there_is_room() -> None:
    async with Cloud(script("too-many-tunnels", "too-many-tunnels", "ok")) as cloud, opened(cloud) as tunnel:
        await tunnel.ready()
        assert len(cloud.lines) == 3


async def test_a_server_without_a_public_url_is_reported_and_the_tunnel_is_not_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def script(line: Line) -> None:
        await line.handshake(proxy_url="nowhere")

    async with Cloud(script) as cloud, opened(cloud) as tunnel:
        await until(lambda: tunnel.connection_count == 1)
        before = asyncio.all_tasks()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(tunnel.ready(), 0.05)
        await asyncio.sleep(0.01)
        assert asyncio.all_tasks() <= before
        assert "the tunnel server sent a proxy URL that is not an HTTP URL" in caplog.text


def test_a_tunnel_that_has_ended_may_be_stopped_again() -> None:
    async def ended() -> Tunnel:
        async with Cloud() as cloud, opened(cloud) as tunnel:
            return tunnel

    asyncio.run(ended()).stop()


@pytest.mark.parametrize("how", ["kill", "drain"])
async def test_a_server_that_accepts_and_dies_or_drains_does_not_reset_the_back_off(how: str) -> None:
    times: list[float] = []

    async def end(line: Line) -> None:
        times.append(asyncio.get_running_loop().time())
        await line.handshake()
        if how == "drain":
            await line.drain()
        else:
            line.kill()

    timings = replace(SOON, backoff_first=0.01, backoff_limit=600, steady=600)
    async with Cloud(end) as cloud, opened(cloud, timings=timings):
        await cloud.line(6)
        # Without growth six waits are 0.09 s at most; the sixth alone is at least 0.16 s here.
        assert times[6] - times[5] >= 0.16


def connections() -> list[Connection]:
    # `isinstance` would follow the weak references that other tests left, and fail at a dead one.
    return [found for found in gc.get_objects() if type(found) is Connection]


async def test_a_served_connection_that_ended_is_dialled_again() -> None:
    before = connections()
    async with Cloud() as cloud, opened(cloud) as tunnel:
        await tunnel.ready()
        for index in range(3):
            line = await (await cloud.line(index)).accepted()
            assert (await call(line)).status == 200
            line.kill()
        await (await cloud.line(3)).accepted()
        # Nothing is left of the others.
        gc.collect()
        assert len([found for found in connections() if not any(found is old for old in before)]) <= 2


async def test_a_connection_that_drains_is_replaced_at_once_and_serves_what_it_has() -> None:
    app = HeldRequests()
    async with Cloud() as cloud, opened(cloud, app=app, timings=replace(ONCE, steady=0.0)) as tunnel:
        await tunnel.ready()
        old = await cloud.line(0)
        exchange = await app.taken(old)
        await old.drain()
        replacement = await (await cloud.line(1)).accepted()
        assert not old.lost
        await until(lambda: tunnel.is_serving)
        app.let_go()
        assert (await call(replacement)).body == b"late"
        assert (await exchange.whole()).body == b"late"
        assert (await call(old)).body == b"late"
        assert not old.lost
        assert len(cloud.lines) == 2


async def test_a_drained_connection_is_torn_down_after_the_grace_and_its_replacement_stays() -> None:
    app = HeldRequests()
    async with Cloud() as cloud, opened(cloud, app=app, timings=replace(STEADY, drain_grace=0.3, grace=0.3)) as tunnel:
        await tunnel.ready()
        old = await cloud.line(0)
        await app.taken(old)
        await old.drain()
        replacement = await (await cloud.line(1)).accepted()
        await old.ended()
        await until(lambda: app.cancelled == 1)
        assert tunnel.is_serving
        assert not replacement.lost


async def test_when_a_replacement_is_refused_for_good_what_is_in_flight_still_finishes() -> None:
    async def closed_or_failed(ready: Callable[[], Awaitable[None]]) -> None:
        while True:
            await ready()
            await asyncio.sleep(0.005)

    app = HeldRequests()
    async with (
        Cloud(script("ok", "unauthorized")) as cloud,
        opened(cloud, app=app, timings=STEADY) as tunnel,
    ):
        await tunnel.ready()
        old = await cloud.line(0)
        exchange = await app.taken(old)
        await old.drain()
        with pytest.raises(TunnelError, match="auth token"):
            await asyncio.wait_for(asyncio.shield(closed_or_failed(tunnel.ready)), 8)
        app.let_go()
        assert (await exchange.whole()).body == b"late"
        with pytest.raises(TunnelError, match="auth token"):
            await tunnel.wait_closed()
        assert len(cloud.lines) == 2


async def test_a_frozen_server_is_dialled_again_without_waiting_for_it_to_hang_up() -> None:
    timings = replace(STEADY, ping_every=0.05, ping_answer=0.05, farewell=600)
    tls = tls_pair()
    async with (
        Cloud(tls=tls.cloud) as cloud,
        opened(source=Fixed(cloud.target), tls=tls.tunnel, timings=timings) as tunnel,
    ):
        await tunnel.ready()
        cloud.lines[0].freeze()
        await (await cloud.line(1)).accepted()


async def test_two_drains_coexist() -> None:
    app = HeldRequests()
    async with Cloud() as cloud, opened(cloud, app=app, timings=STEADY) as tunnel:
        await tunnel.ready()
        exchanges = []
        for index in range(2):
            line = await (await cloud.line(index)).accepted()
            exchanges.append(await app.taken(line))
            await line.drain()
        await (await cloud.line(2)).accepted()
        await until(lambda: tunnel.servers == {f"http://127.0.0.1:{cloud.port}": (1, 2, 3)})
        assert not any(line.lost for line in cloud.lines)
        app.let_go()
        assert [(await exchange.whole()).body for exchange in exchanges] == [b"late", b"late"]
        assert tunnel.is_serving


async def test_closing_is_prompt_while_a_dial_waits() -> None:
    async with Cloud(script("too-many-tunnels")) as cloud, opened(cloud, timings=ONCE) as tunnel:
        await (await cloud.line(0)).ended()
        assert not tunnel.is_serving
        await asyncio.wait_for(tunnel.aclose(), 8)


async def test_the_token_file_is_read_at_each_dial_and_may_be_missing_for_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    caplog.set_level(logging.DEBUG)

    async with Cloud() as cloud, opened(cloud, token_file=file) as tunnel:
        await tunnel.ready()
        line = await cloud.line(0)
        file.unlink()
        line.kill()
        await asyncio.sleep(A_MOMENT)
        assert len(cloud.lines) == 1  # nothing to introduce itself with
        file.write_text("second\n")
        rotated = await (await cloud.line(1)).accepted()
        tokens = [line.hello["authorization"], rotated.hello["authorization"]]
        assert tokens == ["Bearer first", "Bearer second"]
    # It was tried more often than once.
    told = [record for record in caplog.records if "the auth token c" in record.getMessage()]
    assert [record.levelname for record in told] == ["WARNING", *["DEBUG"] * (len(told) - 2), "INFO"]
    assert len(told) > 3


async def test_the_log_names_worker_connection_and_server_and_never_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    for statuses in (("too-many-tunnels", "ok"), ("unauthorized",)):
        async with Cloud(script(*statuses)) as cloud, opened(cloud) as tunnel:
            with suppress(TunnelError):
                await tunnel.ready()
            assert TOKEN not in repr(vars(tunnel))
    assert TOKEN not in caplog.text
    lines = [record.getMessage() for record in caplog.records if record.name == "restate_identity.tunnel"]
    assert any("worker=worker-1 connection=01" in line and "server=http://127.0.0.1:" in line for line in lines)
    assert any("the deployment to register is https://tunnel.test:9080/environment/greeter" in line for line in lines)


async def test_without_any_configured_logging_a_server_that_cannot_be_served_is_heard_of_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    loop = asyncio.get_running_loop()
    now, later = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: now() + later)
    async with Cloud(script("too-many-tunnels")) as cloud, opened(cloud, timings=STEADY):
        for seconds, number in ((0.0, 1), (30.0, 1), (90.0, 2)):
            later = seconds
            await cloud.line(len(cloud.lines) + 5)
            assert len(warnings()) == number
    assert all(warning.endswith("(too-many-tunnels): stop some, or raise the quota") for warning in warnings())


async def test_after_a_connection_that_served_well_the_next_failure_is_heard_of_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes = script("too-many-tunnels", "too-many-tunnels", "ok", "too-many-tunnels")
    async with Cloud(outcomes) as cloud, opened(cloud, timings=replace(SOON, steady=0.1)):
        line = await (await cloud.line(2)).accepted()
        await asyncio.sleep(0.3)
        line.kill()
        await cloud.line(6)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2


async def test_a_server_that_cannot_be_reached_is_heard_of_with_what_to_check(caplog: pytest.LogCaptureFixture) -> None:
    async with Cloud() as cloud:
        address = cloud.target
    async with connect_tunnel(echo, servers=[str(address)], **IDENTIFIED):
        await until(lambda: "cannot connect" in caplog.text)
    assert "check the name of the server, and that this machine may open connections to it" in caplog.text


class Breaking:
    """A file of the token that breaks in a way that nobody has thought of, when it is read a second time."""

    def __init__(self) -> None:
        self._reads = 0

    def read(self) -> str:
        self._reads += 1
        if self._reads > 1:
            raise RuntimeError("nobody has thought of that")
        return TOKEN


async def test_a_mistake_in_a_connection_ends_the_tunnel_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with Cloud() as cloud:
        options = configured(str(cloud.target))
        async with open_tunnel(echo, replace(options, auth_token=Breaking())) as tunnel:  # type: ignore[arg-type]
            with pytest.raises(RuntimeError, match="nobody has thought of that"):
                await tunnel.wait_closed()
            assert isinstance(tunnel.error, RuntimeError)
    assert "Traceback" in caplog.text


async def test_a_mistake_in_a_connection_that_drains_ends_the_tunnel_and_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt = Leftovers.adopt

    def fail_once(*_: object, **__: object) -> None:
        monkeypatch.setattr(Leftovers, "adopt", adopt)
        raise RuntimeError("nobody has thought of that")

    monkeypatch.setattr(Leftovers, "adopt", fail_once)
    async with Cloud() as cloud, opened(cloud, timings=STEADY) as tunnel:
        old = await (await cloud.line(0)).accepted()
        await old.drain()
        await (await cloud.line(1)).accepted()
        old.close()
        with pytest.raises(RuntimeError, match="nobody has thought of that"):
            await tunnel.wait_closed()
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("how", ["lost", "drained"])
async def test_each_connection_that_served_well_starts_the_waits_anew(how: str) -> None:
    # If they went on doubling, the last one would come after more than a minute.
    timings = replace(SOON, steady=0.05, backoff_first=0.02, backoff_limit=600)
    async with Cloud() as cloud, opened(cloud, timings=timings):
        for index in range(12):
            line = await (await cloud.line(index)).accepted()
            await asyncio.sleep(0.15)
            if how == "drained":
                await line.drain()
            else:
                line.kill()
        await cloud.line(12)
