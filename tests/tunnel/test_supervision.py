"""A whole tunnel: to every server that there is, as DNS names them, until it stops. `test_lane` has one server."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import dns.resolver
import pytest

from restate_identity.asgi import Receive, Scope, Send
from restate_identity.tunnel import Tunnel, TunnelError, connect_tunnel
from restate_identity.tunnel.leftovers import Leftovers
from restate_identity.tunnel.resolver import ResolutionError
from restate_identity.tunnel.targets import Target
from tests.tunnel.cloud import PREFIX, PROXY_URL, TUNNEL_URL, Cloud, Line, tls_pair
from tests.tunnel.dialling import TOKEN, echo, run, until
from tests.tunnel.name_server import RECORD, NameServer
from tests.tunnel.tunnels import (
    IDENTIFIED,
    ONCE,
    PATH,
    SIGNER,
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


def renamed(name: str) -> Callable[[Line], Awaitable[object]]:
    async def handshake(line: Line) -> None:
        await line.handshake(tunnel_name=name)

    return handshake


async def test_once_it_is_ready_the_tunnel_knows_what_to_register_and_serves_what_is_signed() -> None:
    async with Cloud() as cloud, opened(cloud) as tunnel:
        for unknown in ("deployment_url", "proxy_url", "tunnel_url"):
            with pytest.raises(RuntimeError, match=r"await tunnel\.ready\(\) first"):
                getattr(tunnel, unknown)
        assert (tunnel.connection_count, tunnel.error, tunnel.is_serving) == (0, None, False)
        await tunnel.ready()
        assert (tunnel.proxy_url, tunnel.tunnel_url) == (PROXY_URL, TUNNEL_URL)
        assert (tunnel.connection_count, tunnel.error) == (1, None)
        assert tunnel.deployment_url == "https://tunnel.test:9080/environment/greeter/http/in-process/9080/"
        assert tunnel.is_serving
        line = await cloud.line(0)
        assert (await call(line, body=b"hello")).body == b"hello"
        assert (await line.request(f"{PREFIX}{PATH}")).status == 401
        assert (await line.request(f"{PREFIX}{PATH}", SIGNER.headers("/other"))).status == 401
        hello = line.hello
        assert hello["authorization"] == f"Bearer {TOKEN}"
        assert (hello["environment-id"], hello["tunnel-name"]) == ("env_123", "greeter")
        assert hello["tunnel-worker-id"] == "worker-1"
    assert not tunnel.is_serving


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (script("unauthorized"), "does not accept the auth token"),
        (script("bad-tunnel-name"), "does not accept the tunnel name"),
        (renamed("another"), "opened a tunnel other than 'greeter'"),
    ],
)
async def test_a_refusal_for_good_stops_the_tunnel_without_hammering(
    caplog: pytest.LogCaptureFixture, refusal: Callable[[Line], Awaitable[object]], reason: str
) -> None:
    async with Cloud(refusal) as cloud, opened(cloud) as tunnel:
        for waiting in (tunnel.ready, tunnel.wait_closed):
            with pytest.raises(TunnelError, match=reason) as error:
                await waiting()
            assert tunnel.error is error.value
        await asyncio.sleep(A_MOMENT)
        assert len(cloud.lines) == 1
    stops = ("restate_identity.tunnel", logging.ERROR, f"tunnel worker=worker-1: stops: {tunnel.error}")
    assert stops in caplog.record_tuples
    assert "Traceback" not in caplog.text


async def test_of_several_servers_that_refuse_for_good_one_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with Cloud(script("unauthorized")) as a, Cloud(script("unauthorized")) as b, opened(a, b) as tunnel:
        with pytest.raises(TunnelError, match="unauthorized"):
            await tunnel.wait_closed()
    assert caplog.text.count(": stops: ") == 1


async def test_a_tunnel_may_serve_several_deployments_and_learns_their_urls_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    regions = ["https://b.test/greeter", "https://b.test/greeter", "https://a.test/greeter", "https://c.test/greeter"]

    async def moved(line: Line) -> None:
        await line.handshake(proxy_url=regions[min(len(cloud.lines), len(regions)) - 1])

    caplog.set_level(logging.INFO)
    async with Cloud(moved) as cloud:
        segments = ("/http/one.test/1/", "/http/two.test/2/")
        tunnel = Tunnel(HeldRequests(), configured(str(cloud.target)), timings=SOON, segments=segments)
        await tunnel.start()
        for index, name in enumerate("bbac"):
            line = await (await cloud.line(index)).accepted()
            await until(lambda: tunnel.connection_count == index + 1)  # noqa: B023 (it is awaited here)
            assert tunnel.deployment_url == f"https://{name}.test:9080/greeter{segments[0]}"
            line.kill()
        await tunnel.aclose()
    registered = [line.rpartition(" ")[2] for line in caplog.text.splitlines() if "deployment to register" in line]
    assert registered == [f"https://{name}.test:9080/greeter{part}" for name in "bac" for part in segments]


async def test_a_request_that_was_given_up_is_not_cancelled() -> None:
    app = HeldRequests()
    async with Cloud() as cloud, opened(cloud, app=app):
        line = await (await cloud.line(0)).accepted()
        exchange = await app.taken(line)
        exchange.reset()
        app.let_go()
        assert (await call(line)).body == b"late"
        assert app.cancelled == 0


async def test_tls_that_never_completes_does_not_keep_the_next_server_from_serving() -> None:
    tls = tls_pair()
    async with Cloud(silent=True) as stalled, Cloud(tls=tls.cloud) as cloud:
        fixed = Fixed(stalled.target._replace(tls=True), cloud.target)
        async with opened(source=fixed, tls=tls.tunnel, timings=replace(SOON, connect=0.3)) as tunnel:
            await tunnel.ready()
            assert (await call(await cloud.line(0))).status == 200
            await stalled.line(2)  # it timed out, and was dialled again


async def test_every_server_gets_a_connection_and_only_the_one_that_died_is_dialled_again() -> None:
    async with Cloud() as a, Cloud() as b, opened(a, b, timings=STEADY) as tunnel:
        lines = [await (await cloud.line(0)).accepted() for cloud in (a, b)]
        lines[0].kill()
        await (await a.line(1)).accepted()
        assert (await call(lines[1])).status == 200
        assert len(b.lines) == 1
        await until(lambda: tunnel.connection_count == 3)


async def test_a_refusal_for_good_by_one_server_stops_them_all() -> None:
    async def refuse(line: Line) -> None:
        await other.wait()
        await line.handshake("unauthorized")

    other = asyncio.Event()

    app = HeldRequests()
    async with Cloud() as a, Cloud(refuse) as b, opened(a, b, app=app) as tunnel:
        await tunnel.ready()
        line = await a.line(0)
        exchange = await app.taken(line)
        other.set()
        await line.until(lambda: bool(line.goaways))
        refused = await call(line)
        assert (refused.status, refused.headers["x-restate-tunnel-draining"]) == (503, "true")
        app.let_go()
        assert (await exchange.whole()).body == b"late"
        with pytest.raises(TunnelError, match="unauthorized"):
            await tunnel.wait_closed()
        await line.ended()
        assert (len(a.lines), len(b.lines)) == (1, 1)


async def test_connections_come_and_go_with_the_addresses_in_dns(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tls = tls_pair()
    async with (
        NameServer(a="127.0.0.1") as names,
        Cloud(tls=tls.cloud) as first,
        Cloud(tls=tls.cloud) as second,
    ):
        names.serve(("a", first.port))
        async with opened(source=names.resolver(), tls=tls.tunnel) as tunnel:
            await tunnel.ready()
            names.serve(("a", first.port), ("a", second.port))
            line = await (await second.line(0)).accepted()
            names.serve(("a", second.port))
            await (await first.line(0)).ended()
            assert (await call(line)).status == 200
            # Gone for good, and nobody dials it again.
            asked = names.asked
            await until(lambda: names.asked > asked + 4)
            assert (len(first.lines), len(second.lines)) == (1, 1)
            assert list(tunnel.servers) == [f"https://127.0.0.1:{second.port}"]
            assert f"https://127.0.0.1:{first.port} is no longer one of the servers" in caplog.text


async def test_what_is_in_flight_on_a_server_that_vanished_from_dns_finishes() -> None:
    app = HeldRequests()
    async with Cloud() as cloud:
        fixed = Fixed(cloud.target)
        async with opened(source=fixed, app=app) as tunnel:
            await tunnel.ready()
            line = await cloud.line(0)
            exchange = await app.taken(line)
            targets, fixed.targets = fixed.targets, frozenset()
            await line.until(lambda: bool(line.goaways))
            # It comes back before the old connection has ended.
            fixed.targets = targets
            await until(lambda: list(tunnel.servers.values()) == [(1, 1, 2)])
            app.let_go()
            assert (await exchange.whole()).body == b"late"
            await line.ended()


async def test_while_dns_does_not_answer_what_is_connected_goes_on_serving(caplog: pytest.LogCaptureFixture) -> None:
    tls = tls_pair()
    async with NameServer(a="127.0.0.1") as names, Cloud(tls=tls.cloud) as cloud:
        names.serve(("a", cloud.port))
        async with opened(source=names.resolver(), tls=tls.tunnel) as tunnel:
            await tunnel.ready()
            names.failing.add(("tunnel.test", "SRV"))
            asked = names.asked
            await until(lambda: names.asked > asked + 3)
            assert (await call(await cloud.line(0))).status == 200
            assert tunnel.is_serving
            assert "DNS does not answer for SRV tunnel.test: " in caplog.text
            assert "; tunnel servers known before: 1\n" in caplog.text
            # Still a target: it is dialled again when it dies.
            (await cloud.line(0)).kill()
            await (await cloud.line(1)).accepted()


async def test_a_failure_of_dns_while_the_tunnel_stops_is_not_left_for_asyncio_to_log() -> None:
    """The plugin that runs the tests fails a test whose event loop reports an exception that nobody retrieved."""

    class StopsAndFails:
        tunnel: Tunnel | None = None

        async def resolve(self) -> frozenset[Target]:
            if self.tunnel is None:
                return frozenset()
            self.tunnel.stop()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise ResolutionError("DNS does not answer") from None
            return frozenset()

    source = StopsAndFails()
    async with opened(source=source) as source.tunnel:
        await source.tunnel.wait_closed()
    gc.collect()
    await asyncio.sleep(0)


async def test_the_first_answer_of_dns_is_waited_for() -> None:
    tls = tls_pair()
    async with NameServer(a="127.0.0.1") as names, Cloud(tls=tls.cloud) as cloud:
        names.serve(("a", cloud.port))
        names.failing.add(("tunnel.test", "SRV"))
        timings = replace(SOON, resolve_every=600)
        async with opened(source=names.resolver(), tls=tls.tunnel, timings=timings) as tunnel:
            # Until a server is known, it is asked more often.
            await until(lambda: names.asked > 2)
            names.failing.clear()
            await tunnel.ready()
            asked = names.asked
            await asyncio.sleep(A_MOMENT)
            assert names.asked == asked


async def test_a_mistake_in_the_source_of_targets_ends_the_tunnel_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    app = HeldRequests()
    async with Cloud() as cloud:
        fixed = Fixed(cloud.target)
        async with opened(source=fixed, app=app) as tunnel:
            await tunnel.ready()
            line = await cloud.line(0)
            exchange = await app.taken(line)
            del fixed.targets
            await line.until(lambda: bool(line.goaways))
            app.let_go()
            assert (await exchange.whole()).body == b"late"
            with pytest.raises(AttributeError, match="targets"):
                await tunnel.wait_closed()
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("turns", range(4))
def test_a_block_that_does_nothing_ends(turns: int) -> None:
    async def test() -> None:
        async with Cloud() as cloud, opened(cloud):
            for _ in range(turns):
                await asyncio.sleep(0)

    run(asyncio.wait_for(test(), 20))


async def test_a_test_may_have_an_srv_record_of_servers_in_cleartext(monkeypatch: pytest.MonkeyPatch) -> None:
    async with NameServer(a="127.0.0.1") as names, Cloud() as cloud:

        def configure(resolver: dns.resolver.BaseResolver, _: object) -> None:
            resolver.nameservers = ["127.0.0.1"]
            resolver.port = names.port

        # In place of the name servers of this machine.
        monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", configure)
        names.serve(("a", cloud.port))
        async with connect_tunnel(echo, servers_srv=RECORD, tls=False, **IDENTIFIED) as tunnel:
            await tunnel.ready()
            assert (await call(await cloud.line(0))).status == 200


async def test_an_outage_of_dns_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with NameServer(a="127.0.0.1") as names, opened(source=names.resolver()):
        await until(lambda: names.asked > 3)
        names.serve(("a", 1))
        await until(lambda: "the servers are known again: there are 1" in caplog.text)
        asked = names.asked
        await until(lambda: names.asked > asked + 3)
    assert caplog.text.count("DNS has no SRV record") == caplog.text.count("known again") == 1


async def test_closing_is_prompt_while_dns_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    async with NameServer() as names:
        names.silent = True
        async with opened(source=names.resolver(patience=600)) as tunnel:
            await until(lambda: names.asked > 0)
            await asyncio.wait_for(tunnel.aclose(), 8)
            with pytest.raises(TunnelError, match="closed before a connection served"):
                await tunnel.ready()
    assert "Traceback" not in caplog.text


async def test_a_cancelled_close_while_dns_is_asked_lets_the_application_shut_down() -> None:
    events: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await receive()
        await send({"type": "lifespan.startup.complete"})
        events.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})

    async with NameServer() as names:
        names.silent = True
        async with opened(source=names.resolver(patience=600), app=app) as tunnel:
            await until(lambda: names.asked > 0)
            closing = asyncio.ensure_future(tunnel.aclose())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait({closing})
            assert events == ["lifespan.shutdown"]


async def test_a_stop_while_the_servers_are_asked_for_ends_the_question() -> None:
    class Silent:
        async def resolve(self) -> frozenset[Target]:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    asked = asyncio.Event()
    before = asyncio.all_tasks()
    async with opened(source=Silent()):
        await asked.wait()
    assert asyncio.all_tasks() <= before


async def test_closing_drains_every_connection() -> None:
    app = HeldRequests()
    async with Cloud() as a, Cloud() as b, opened(a, b, app=app) as tunnel:
        lines = [await (await cloud.line(0)).accepted() for cloud in (a, b)]
        exchanges = [await app.taken(line) for line in lines]
        closing = asyncio.ensure_future(tunnel.aclose())
        for line in lines:
            await line.until(lambda line=line: bool(line.goaways))  # type: ignore[misc]
        assert not tunnel.is_serving
        assert not closing.done()
        app.let_go()
        assert [(await exchange.whole()).body for exchange in exchanges] == [b"late", b"late"]
        await closing
        await tunnel.wait_closed()


async def test_a_cancelled_close_ends_everything_at_once() -> None:
    app = HeldRequests()
    async with Cloud() as cloud, opened(cloud, app=app) as tunnel:
        await tunnel.ready()
        await app.taken(await cloud.line(0))
        closing = asyncio.ensure_future(tunnel.aclose())
        await (await cloud.line(0)).until(lambda: bool(cloud.lines[0].goaways))
        closing.cancel()
        await asyncio.wait({closing})
        assert app.cancelled == 1
        await cloud.lines[0].ended()


@pytest.mark.parametrize("drains", [False, True])
async def test_a_close_that_is_cancelled_at_any_moment_ends_everything_at_once(drains: bool) -> None:
    for turns in range(1, 8):
        app = HeldRequests()
        async with (
            Cloud() as cloud,
            opened(source=Fixed(cloud.target), app=app, timings=replace(ONCE, grace=40, resolve_every=600)) as tunnel,
        ):
            line = await (await cloud.line(0)).accepted()
            await app.taken(line)
            if drains:
                await line.drain()
            closing = asyncio.ensure_future(tunnel.aclose())
            for _ in range(turns):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait_for(asyncio.wait({closing}), 20)
            assert app.cancelled == 1


@pytest.mark.parametrize("content", [None, "", " \n", "two words"])
async def test_a_token_file_that_holds_no_token_at_the_start_is_an_error(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    started: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        started.append(scope["type"])

    async with Cloud() as cloud:
        with pytest.raises(ValueError, match="auth_token_file, or RESTATE_INPROC_AUTH_TOKEN_FILE: ") as error:
            async with opened(cloud, app=app, token_file=file):
                pass
        assert "two words" not in str(error.value)
        assert (started, cloud.lines) == ([], [])


async def test_a_tunnel_that_starts_keeps_the_log_of_headers_quiet_unless_it_was_asked_for_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, named = logging.getLogger("hpack.table"), logging.getLogger("hpack.hpack")
    monkeypatch.setattr(plain, "level", logging.NOTSET)
    monkeypatch.setattr(named, "level", logging.DEBUG)

    async with Cloud() as cloud, opened(cloud):
        assert (plain.level, named.level) == (logging.INFO, logging.DEBUG)


async def test_a_mistake_while_the_tunnel_stops_is_told_too(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("nobody has thought of that")

    async with Cloud() as cloud, opened(cloud) as tunnel:
        await (await cloud.line(0)).accepted()
        monkeypatch.setattr(Leftovers, "adopt", fail)
        tunnel.stop()
        await tunnel.wait_closed()
        assert tunnel.error is None
    assert "nobody has thought of that" in caplog.text
    assert "Traceback" in caplog.text
