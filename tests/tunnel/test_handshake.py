"""The first stream: how a connection introduces itself, and what it makes of the answer."""

from __future__ import annotations

from restate_identity.tunnel.connection import ConnectionState
from restate_identity.tunnel.handshake import Serving
from tests.tunnel.cloud import PROXY_URL, TUNNEL_URL
from tests.tunnel.dialling import ECHO, TOKEN, run, serving

OK = [("tunnel-status", "ok"), ("tunnel-name", "greeter"), ("proxy-url", "https://p"), ("tunnel-url", "https://t")]


def test_a_connection_introduces_itself_and_learns_its_urls() -> None:
    async def test() -> None:
        async with serving() as (here, line):
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
            assert here.connection.serving == Serving("greeter", PROXY_URL, TUNNEL_URL)
            assert here.connection.state is ConnectionState.SERVING
            response = await line.request(ECHO, body=b"hello")
            assert (response.status, response.body, response.headers["x-path"]) == (200, b"hello", "/echo")

    run(test())
