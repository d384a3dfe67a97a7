"""A name server that does not answer costs the application no thread, and keeps nothing from ending."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from restate_identity.tunnel.connect import open_tunnel
from restate_identity.tunnel.names import addresses
from restate_identity.tunnel.state import EndingKind
from restate_identity.tunnel.targets import Target
from tests.tunnel.cloud import PATIENCE, Cloud, tls_pair
from tests.tunnel.dialling import dialled, echo, until
from tests.tunnel.tunnels import SOON, call, configured

HANGS = "hangs.test"


class Hanging:
    """A resolver of this machine that never answers for one name."""

    def __init__(self) -> None:
        self.asked = 0
        self.let_go = threading.Event()
        self._real = socket.getaddrinfo

    def __call__(self, host: Any, *arguments: Any, **options: Any) -> Any:
        if host == HANGS:
            self.asked += 1
            self.let_go.wait(2 * PATIENCE)
            raise socket.gaierror("no answer")
        return self._real(host, *arguments, **options)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    hanging = Hanging()
    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    yield hanging
    hanging.let_go.set()


async def test_a_name_that_is_not_answered_takes_no_thread_of_the_application(hanging: Hanging) -> None:
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(1)
    loop.set_default_executor(executor)
    async with Cloud() as cloud:
        options = configured(f"http://{HANGS}:1", str(cloud.target))
        async with open_tunnel(echo, options, timings=replace(SOON, connect=0.05)) as tunnel:
            await tunnel.ready()
            line = cloud.lines[-1]  # an earlier dial may have taken too long, too
            await until(lambda: hanging.asked > 0)
            # It is dialled many times meanwhile.
            await asyncio.sleep(0.5)
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "ran"), 10) == "ran"
            assert (await call(line)).status == 200
    assert hanging.asked == 1
    # It does not keep the process from exiting either.
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "tunnel-names"] == [True]
    # As asyncio.run does at the end.
    await asyncio.wait_for(loop.shutdown_default_executor(), 10)


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def two(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "two.test":
            return [*real("127.0.0.9", *arguments, **options), *real("127.0.0.1", *arguments, **options)]
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", two)


@pytest.mark.usefixtures("two_addresses")
async def test_a_server_may_be_named_by_its_host_and_each_of_its_addresses_is_tried() -> None:
    assert await addresses("two.test") == ["127.0.0.9", "127.0.0.1"]

    async with Cloud() as cloud, dialled(cloud.target._replace(host="two.test")):
        await (await cloud.line(0)).accepted()
    # When none can be reached, the first says why.
    async with dialled(cloud.target._replace(host="two.test")) as here:
        told = f"cannot connect: [Errno {errno.ECONNREFUSED}] Connect call failed ('127.0.0.9', "
        assert (await here.ending()).reason.startswith(told)


def delay(monkeypatch: pytest.MonkeyPatch, host: str, seconds: float) -> None:
    """Let every connection to *host* take so long."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def delayed(connection: socket.socket, address: Any) -> None:
        if address[0] == host:
            await asyncio.sleep(seconds)
        await connect(connection, address)

    monkeypatch.setattr(loop, "sock_connect", delayed)


@pytest.mark.usefixtures("two_addresses")
async def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    delay(monkeypatch, "127.0.0.9", 600)
    brief = replace(SOON, connect=0.4)
    async with Cloud() as cloud, dialled(cloud.target._replace(host="two.test"), timings=brief):
        await (await cloud.line(0)).accepted()
    async with dialled(cloud.target._replace(host="two.test"), timings=brief) as here:
        assert (await here.ending()).reason.startswith("cannot connect: no answer from 127.0.0.9: ")


async def test_an_address_behind_many_that_do_not_answer_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def many(host: Any, *arguments: Any, **options: Any) -> Any:
        dead = [f"127.0.0.{number}" for number in range(9, 15)]
        hosts = [*dead, "127.0.0.1"] if host == "many.test" else [host]
        return [found for each in hosts for found in real(each, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", many)
    for number in range(9, 15):
        delay(monkeypatch, f"127.0.0.{number}", 600)
    timings = replace(SOON, connect=3)
    async with Cloud() as cloud, dialled(cloud.target._replace(host="many.test"), timings=timings) as here:
        await (await cloud.line(0)).accepted()
        assert not here.task.done()


@pytest.mark.usefixtures("two_addresses")
@pytest.mark.parametrize("broken", ["no TLS", "another authority", "no HTTP/2"])
async def test_a_server_that_cannot_prove_itself_leaves_the_turn_to_the_next_address(broken: str) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    tls, other = tls_pair(), tls_pair(alpn=() if broken == "no HTTP/2" else ("h2",))
    if broken == "no HTTP/2":
        tls.tunnel.load_verify_locations(cadata=other.authority.decode())
    async with Cloud(tls=tls.cloud) as cloud:
        refusing = await asyncio.start_server(
            hang_up, "127.0.0.9", cloud.port, ssl=None if broken == "no TLS" else other.cloud
        )
        async with dialled(cloud.target._replace(host="two.test"), tls=tls.tunnel):
            await (await cloud.line(0)).accepted()
        refusing.close()


@pytest.mark.usefixtures("two_addresses")
async def test_the_last_address_has_the_rest_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    delay(monkeypatch, "127.0.0.1", 1.1)
    async with Cloud() as cloud, dialled(cloud.target._replace(host="two.test"), timings=replace(SOON, connect=2)):
        await (await cloud.line(0)).accepted()
        assert len(cloud.lines) == 1


@pytest.mark.usefixtures("two_addresses")
async def test_a_dial_that_is_stopped_as_an_address_refuses_it_dials_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_socket: socket.socket, address: Any) -> None:
        if address[0] != "127.0.0.9":
            await asyncio.sleep(600)
        here.connection.stop()
        for _ in range(turns):
            await asyncio.sleep(0)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", refuse)
    for turns in range(8):  # noqa: B007 (until the refusal)
        async with dialled(Target("two.test", 1, False, ""), timings=replace(SOON, connect=600)) as here:
            assert (await here.ending()).kind is EndingKind.STOPPED


@pytest.mark.parametrize("reason", ["Name or service not known", "the host has no address"])
async def test_a_name_without_an_address_is_tried_again_and_said(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    def none(*_: Any, **__: Any) -> Any:
        if reason == "the host has no address":
            return []
        raise socket.gaierror(socket.EAI_NONAME, reason)

    monkeypatch.setattr(socket, "getaddrinfo", none)

    async with Cloud() as cloud, dialled(cloud.target._replace(host="nowhere.test")) as here:
        ending = await here.ending()
        assert reason in ending.reason
        assert "check the name of the server" in ending.reason
