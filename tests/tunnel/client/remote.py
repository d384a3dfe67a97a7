"""A remote proxy in front of a real HTTP server over TLS, which stands for the cloud's ingress."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import trustme

from restate_identity.asgi import ASGIApp, Receive, Scope, Send
from restate_identity.tunnel.client.connector import Connector
from restate_identity.tunnel.client.exchange import Exchange, RequestHead, Version
from restate_identity.tunnel.client.http2_connection import Http2Connection
from restate_identity.tunnel.client.limits import Limits
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.proxies.callers import Callers
from restate_identity.tunnel.client.proxies.cloud_proxy import CloudProxy
from restate_identity.tunnel.client.proxies.listener import Listener
from restate_identity.tunnel.client.proxies.patience import Patience
from restate_identity.tunnel.client.proxies.remote_proxies import Port, RemoteProxies
from restate_identity.tunnel.client.serve_address import ServeAddress
from restate_identity.tunnel.frames import GoAway
from restate_identity.tunnel.token import AuthToken
from tests.support.processes import free_port
from tests.tunnel.dialling import TOKEN

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1")
LOOPBACK = ServeAddress("127.0.0.1", 0)


def trusting() -> ssl.SSLContext:
    """Return a context that trusts the cloud of these tests."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


class CloudApi:
    """The API of the cloud: it notes every request, and answers by the first segment of the path.

    Attributes:
        seen: The scopes of the requests, in order.
        bodies: Their bodies, once they are complete.
        gone: How many requests were given up.
        release: Lets the requests that are held go on.
    """

    def __init__(self) -> None:
        self.seen: list[Scope] = []
        self.bodies: list[bytes] = []
        self.gone = 0
        self.release = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        self.seen.append(scope)
        kind = scope["path"].split("/")[1]
        if kind == "echo":
            await self._echo(receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        if kind == "held":
            gone = asyncio.ensure_future(receive())
            released = asyncio.ensure_future(self.release.wait())
            await asyncio.wait({gone, released}, return_when=asyncio.FIRST_COMPLETED)
            released.cancel()
            if gone.done():
                self.gone += 1
                return
            gone.cancel()
        status = 307 if kind == "redirect" else 201
        headers = [(b"location", b"https://elsewhere.test/")] if kind == "redirect" else []
        headers += [(b"content-type", b"text/plain"), (b"x-of-the-cloud", b"yes")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"answered"})

    async def _echo(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})

    def header(self, name: str, index: int = -1) -> list[str]:
        """Return the values of a header of a request."""
        return [value.decode() for key, value in self.seen[index]["headers"] if key.decode() == name]


@asynccontextmanager
async def served(app: ASGIApp, folder: Path) -> AsyncIterator[Origin]:
    """Serve *app* with hypercorn over TLS."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    CERTIFICATE.cert_chain_pems[0].write_to_path(certificate)
    CERTIFICATE.private_key_pem.write_to_path(key)
    config = hypercorn.config.Config()
    port = free_port()
    config.bind = [f"127.0.0.1:{port}"]
    config.certfile, config.keyfile = str(certificate), str(key)
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 0.1
    stop = asyncio.Event()
    started: Callable[..., Any] = hypercorn.asyncio.serve
    running = asyncio.ensure_future(started(app, config, shutdown_trigger=stop.wait))
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    writer.transport.abort()
    try:
        yield Origin("https", "127.0.0.1", port)
    finally:
        stop.set()
        await running


class Remote:
    """A proxy that listens, and the cloud behind it."""

    def __init__(self, api: CloudApi, proxies: RemoteProxies) -> None:
        self.api = api
        self.proxies = proxies
        self.proxy: CloudProxy = proxies.proxies[0]
        self.listener: Listener = proxies.listeners[0]
        self.port: int = self.listener.port
        self.goaways: list[GoAway] = []
        self.url = f"http://127.0.0.1:{self.port}"

    async def raw(self, data: bytes, *, until: bytes | None = None) -> bytes:
        """Send *data*, and return what comes back until the proxy closes the connection, or until there is *until*."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            read = reader.read() if until is None else reader.readuntil(until)
            return await asyncio.wait_for(read, 30)
        finally:
            writer.close()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to become true."""

        async def wait() -> None:
            while not condition():  # noqa: ASYNC110 (what it asks for does not tell when it changes)
                await asyncio.sleep(0.005)

        await asyncio.wait_for(wait(), 30)


@asynccontextmanager
async def exchanging(remote: Remote, version: Version, path: str, *, stays: bool = False) -> AsyncIterator[Exchange]:
    """Begin a request to the proxy, with a body that is open. Who *stays* does not close a connection that is left."""
    connection = await Connector(Limits(idle=600)).connect(Origin("http", "127.0.0.1", remote.port), version)
    if stays and isinstance(connection, Http2Connection):
        connection.protocol._on_goaway = remote.goaways.append
    head = RequestHead(b"POST", path.encode(), b"localhost:%d" % remote.port, [], False)
    exchange = connection.open(head, "http")
    try:
        yield exchange
    finally:
        exchange.cancel()
        await connection.gone(within=1)


@asynccontextmanager
async def proxied(
    folder: Path,
    *,
    streams: int = Limits.streams,
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    patience: Patience = Patience(),  # noqa: B008 (frozen)
    token: AuthToken | None = None,
    origin: Origin | None = None,
    tls: Callable[[], ssl.SSLContext] = trusting,
) -> AsyncIterator[Remote]:
    """Run one proxy in front of a `CloudApi`, or of *origin*."""
    api = CloudApi()
    async with served(api, folder) as real:
        proxies = RemoteProxies(
            (Port(name="ingress", address=LOOPBACK, origin=origin or real),),
            token or AuthToken(TOKEN),
            Callers(hosts, origins),
            limits=Limits(connect=5, streams=streams),
            patience=patience,
            tls=tls,
        )
        await proxies.start()
        try:
            yield Remote(api, proxies)
        finally:
            api.release.set()
            await proxies.drain(0)
