"""Whom a connection talks to: the certificate, the protocol, and servers that never get that far."""

from __future__ import annotations

import asyncio
import gc

import psutil
import pytest

from restate_identity.tunnel import connect_tunnel
from restate_identity.tunnel.state import EndingKind
from restate_identity.tunnel.targets import Target
from restate_identity.tunnel.timings import TunnelTimings
from tests.support.processes import free_port
from tests.tunnel.cloud import Cloud, tls_pair
from tests.tunnel.dialling import ECHO, dialled, echo, until
from tests.tunnel.tunnels import EACH_LOOP, IDENTIFIED


@EACH_LOOP
async def test_a_tunnel_is_served_over_tls_under_the_servers_name() -> None:
    tls = tls_pair()
    async with Cloud(tls=tls.cloud) as cloud, dialled(cloud.target, tls=tls.tunnel):
        # What is dialled is an address; the certificate is for the name.
        assert cloud.target[:3] == ("127.0.0.1", cloud.port, True)
        line = await (await cloud.line(0)).accepted()
        assert (await line.request(ECHO, body=b"x" * 200_000)).body == b"x" * 200_000


async def test_the_context_of_the_user_decides_whom_the_tunnel_trusts() -> None:
    tls = tls_pair(name="127.0.0.1")
    async with (
        Cloud(tls=tls.cloud) as cloud,
        connect_tunnel(echo, servers=[f"https://127.0.0.1:{cloud.port}"], tls=tls.tunnel, **IDENTIFIED) as tunnel,
    ):
        await asyncio.wait_for(tunnel.ready(), 30)


def is_connected_to(port: int) -> bool:
    connections = psutil.Process().net_connections("tcp")
    return any(each.raddr and each.raddr.port == port and each.status == "ESTABLISHED" for each in connections)


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
async def test_a_server_that_does_not_agree_to_http2_is_refused_with_a_clear_reason(alpn: tuple[str, ...]) -> None:
    tls = tls_pair(alpn=alpn)
    async with Cloud(tls=tls.cloud) as cloud, dialled(cloud.target, tls=tls.tunnel) as here:
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        assert "did not select HTTP/2 (ALPN 'h2', it chose 'nothing')" in ending.reason
        assert all(line.hello == {} for line in cloud.lines)
        await until(lambda: not is_connected_to(cloud.port))


async def test_a_server_with_a_certificate_for_another_name_is_not_spoken_to() -> None:
    tls = tls_pair(name="elsewhere.test")
    async with Cloud(tls=tls.cloud) as cloud, dialled(cloud.target, tls=tls.tunnel) as here:
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        assert "the server cannot prove that it is 'tunnel.test'" in ending.reason


async def test_a_server_that_nobody_vouches_for_is_not_spoken_to() -> None:
    async with Cloud(tls=tls_pair().cloud) as cloud, dialled(cloud.target) as here:  # the system's authorities
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        assert "the server cannot prove that it is 'tunnel.test'" in ending.reason


async def test_a_server_that_speaks_something_else_ends_the_connection_only() -> None:
    async with Cloud(silent=True) as cloud, dialled(cloud.target) as here:
        (await cloud.line(0)).transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        ending = await here.ending()
        assert ending.kind is EndingKind.RETRY
        assert "violated HTTP/2" in ending.reason


async def test_a_port_where_nobody_listens_is_tried_again() -> None:
    # It waits for no socket that there never was.
    timings = TunnelTimings(farewell=600)
    async with dialled(Target("127.0.0.1", free_port(), False, ""), timings=timings) as here:
        assert (await here.ending()).kind is EndingKind.RETRY


async def test_a_name_that_does_not_exist_is_tried_again() -> None:
    async with dialled(Target("nowhere.invalid", 443, False, ""), timings=TunnelTimings(connect=20)) as here:
        assert (await here.ending()).kind is EndingKind.RETRY


async def test_stopping_is_prompt_while_the_dial_hangs() -> None:
    async with Cloud(silent=True) as cloud:
        target = cloud.target._replace(tls=True)
        async with dialled(target, tls=tls_pair().tunnel, timings=TunnelTimings(connect=600)) as here:
            await cloud.line(0)
            here.connection.stop()
            assert (await here.ending()).kind is EndingKind.STOPPED


async def test_stopping_before_the_dial_dials_nothing() -> None:
    async with Cloud() as cloud, dialled(cloud.target) as here:
        here.connection.stop()
        assert (await here.ending()).kind is EndingKind.STOPPED
        assert cloud.lines == []


@pytest.mark.parametrize("how", ["stopped", "cancelled"])
async def test_a_dial_that_fails_in_the_moment_in_which_it_is_stopped_leaves_nothing_for_the_log(how: str) -> None:
    left_over: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left_over.append(context))
    # The dial fails at one of these turns of the loop, and is stopped before, at, or after it.
    for turns in range(20):
        async with dialled(Target("127.0.0.1", free_port(), False, "")) as here:
            for _ in range(turns):
                await asyncio.sleep(0)
            if how == "stopped":
                here.connection.stop()
                await here.ending()
    gc.collect()
    assert left_over == []


async def test_a_dial_that_takes_too_long_is_given_up_and_its_socket_closed() -> None:
    tls = tls_pair()
    async with Cloud(silent=True) as cloud:
        target = cloud.target._replace(tls=True)
        async with dialled(target, tls=tls.tunnel, timings=TunnelTimings(connect=0.3)) as here:
            ending = await here.ending()
            assert (ending.kind, ending.reason[:28]) == (EndingKind.RETRY, "no connection within 0.3 s: ")
            await (await cloud.line(0)).ended()
