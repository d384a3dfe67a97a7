"""Connect to a target. The name is looked up once, and an address that was checked is the address that is dialled."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from restate_identity._waiting import limited
from restate_identity.tunnel.client.exchange import ExchangeError, Version
from restate_identity.tunnel.client.http1_connection import Http1Connection
from restate_identity.tunnel.client.http2_connection import Http2Connection
from restate_identity.tunnel.client.limits import Limits
from restate_identity.tunnel.client.origins import Address, Origin
from restate_identity.tunnel.client.special_addresses import described
from restate_identity.tunnel.client.tcp import keep_alive
from restate_identity.tunnel.names import addresses, share
from restate_identity.tunnel.timings import TunnelTimings

Admits = Callable[[Origin, Address], bool]
Resolve = Callable[[str], Awaitable[list[str]]]

_ALPN = {Version.ALPN: ["h2", "http/1.1"], Version.HTTP2: ["h2"], Version.HTTP1: ["http/1.1"]}


# A target is near, so a stream needs no large window. The window of the connection holds those of `Limits.streams`
# responses that nobody reads, so that they do not hold up the others.
_WINDOWS = TunnelTimings(stream_window=128 * 1024, connection_window=16 * 1024 * 1024)


class TargetRefusedError(ExchangeError):
    """The host resolves only to addresses that it must not be dialled at."""


class Connector:
    """Opens connections to origins.

    Args:
        limits: The time limits.
        admits: Returns whether an origin may be dialled at an address; without it, every address is dialled.
        resolve: Returns the addresses of a host.
        tls: Returns a new context for ``https``.
        timings: The windows and PINGs of HTTP/2.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        admits: Admits | None = None,
        resolve: Resolve = addresses,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        timings: TunnelTimings = _WINDOWS,
    ) -> None:
        self._limits = limits
        self._admits = admits
        self._resolve = resolve
        self._tls = tls
        self._timings = timings
        self._contexts: dict[Version, ssl.SSLContext] = {}

    async def connect(self, origin: Origin, version: Version) -> Http1Connection | Http2Connection:
        """Return a connection to *origin* that takes requests.

        Raises:
            TargetRefusedError: No address of the host may be dialled.
            ExchangeError: There is no connection within ``limits.connect`` seconds.
        """
        until = asyncio.get_running_loop().time() + self._limits.connect
        try:
            return await self._connect_again(origin, version, until)
        except asyncio.TimeoutError:
            reason = f"no connection within {self._limits.connect:g} s"
        except ssl.SSLCertVerificationError as error:
            reason = f"the target cannot prove that it is {origin.host}: {error.verify_message}"
        except OSError as error:
            reason = f"cannot connect: {str(error) or type(error).__name__}"
        raise ExchangeError(reason)

    async def _connect_again(self, origin: Origin, version: Version, until: float) -> Http1Connection | Http2Connection:
        try:
            return await self._connect(origin, version, until)
        except ConnectionAbortedError:
            # An instance that shuts down does that. The next connection may get to another one.
            return await self._connect(origin, version, until)

    async def _connect(self, origin: Origin, version: Version, until: float) -> Http1Connection | Http2Connection:
        # A zone is never needed for what may be dialled.
        texts = await limited(self._resolve(origin.host), _left(until))
        found = [ip_address(text) for text in texts if "%" not in text]
        allowed = [address for address in found if self._admits is None or self._admits(origin, address)]
        if not allowed:
            shown = ", ".join(map(described, found[:3])) or "no address"
            raise TargetRefusedError(f"{origin.host} is at {shown}, which is not to be dialled")
        tls = self._context(version) if origin.scheme == "https" else None
        failure: Exception | None = None
        for left, address in zip(range(len(allowed), 0, -1), allowed, strict=True):
            try:
                return await self._dial(address, origin, version, tls, share(_left(until), left))
            except (OSError, asyncio.TimeoutError, ExchangeError) as error:
                failure = failure or error
        assert failure is not None
        raise failure

    async def _dial(
        self, address: Address, origin: Origin, version: Version, tls: ssl.SSLContext | None, within: float
    ) -> Http1Connection | Http2Connection:
        chooser = _Chooser(self._protocol, version)
        try:
            return await limited(self._opened(address, origin, chooser, tls), within)
        except BaseException:
            # It may be open, and even ready if this was cancelled in the same moment.
            chooser.abort()
            raise

    async def _opened(
        self, address: Address, origin: Origin, chooser: _Chooser, tls: ssl.SSLContext | None
    ) -> Http1Connection | Http2Connection:
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: chooser,
            str(address),
            origin.port,
            ssl=tls,
            server_hostname=origin.host if tls is not None else None,
        )
        keep_alive(transport)
        connection = chooser.connection
        if isinstance(connection, Http2Connection):
            await connection.ready()
        if connection is None:
            raise ExchangeError("the target does not speak HTTP/2: its TLS did not choose h2")
        return connection

    def _protocol(self, version: Version) -> Http1Connection | Http2Connection:
        if version is Version.HTTP1:
            return Http1Connection(self._limits)
        return Http2Connection(self._timings, self._limits)

    def _context(self, version: Version) -> ssl.SSLContext:
        context = self._contexts.get(version)
        if context is None:
            context = self._tls()
            context.set_alpn_protocols(_ALPN[version])
            # OpenSSL does not say if it cannot read the authorities, for instance while no file descriptor is left.
            if context.cert_store_stats()["x509"]:
                self._contexts[version] = context
        return context


def _left(until: float) -> float:
    return until - asyncio.get_running_loop().time()


class _Chooser(asyncio.Protocol):
    """Hands a new connection to the version of HTTP that was asked for, or that TLS has agreed on."""

    def __init__(self, make: Callable[[Version], Http1Connection | Http2Connection], version: Version) -> None:
        self._make = make
        self._version = version
        self._transport: asyncio.Transport | None = None
        self.connection: Http1Connection | Http2Connection | None = None

    def abort(self) -> None:
        """Close the connection, if there is one."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        version = self._version
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None:
            chosen = tls.selected_alpn_protocol()
            if version is Version.HTTP2 and chosen != "h2":
                return
            if version is Version.ALPN:
                version = Version.HTTP2 if chosen == "h2" else Version.HTTP1
        self.connection = self._make(version)
        protocol = self.connection if isinstance(self.connection, Http1Connection) else self.connection.protocol
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
