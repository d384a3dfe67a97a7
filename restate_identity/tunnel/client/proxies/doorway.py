"""A new connection to a remote proxy, until its first bytes tell which version of HTTP it speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from restate_identity.tunnel.client.proxies.http1_side import Http1Side
from restate_identity.tunnel.client.proxies.http2_side import Http2Side
from restate_identity.tunnel.client.proxies.side import Owner, Side
from restate_identity.tunnel.client.tcp import hold_little
from restate_identity.tunnel.deadline import Deadline

# What a client sends first that knows that the server speaks HTTP/2 (RFC 9113, 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# How long a new connection may still send its first request when the proxy stops.
_LAST_CALL = 1.0


class Doorway(asyncio.Protocol):
    """Hands the connection over. Until then it is a `Side` that waits for a head.

    Args:
        owner: Who has accepted the connection.
        on_side: Called with the doorway when the connection is made, and with its replacement.
    """

    def __init__(self, owner: Owner, on_side: Callable[[Side, Side | None], bool]) -> None:
        self._owner = owner
        self._on_side = on_side
        self._since = asyncio.get_running_loop().time()
        self._transport: asyncio.Transport | None = None
        self._first = b""
        self._leaving = Deadline()

    @property
    def idle_since(self) -> float | None:
        """See `Side.idle_since`."""
        return self._since

    @property
    def head_since(self) -> float | None:
        """See `Side.head_since`."""
        return self._since

    def leave(self) -> None:
        """See `Side.leave`. A request that is on its way is still answered."""
        self._leaving.set(_LAST_CALL, self.abort)

    def abort(self) -> None:
        """See `Side.abort`."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # noqa: D102
        self._transport = transport
        hold_little(transport)
        if not self._on_side(self, None):
            transport.abort()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._first += data
        if self._first != PREFACE and PREFACE.startswith(self._first):
            return
        assert self._transport is not None
        side: Http1Side | Http2Side
        protocol: asyncio.Protocol
        if self._first.startswith(PREFACE):
            side = Http2Side(self._owner)
            protocol = side.protocol
        else:
            side = protocol = Http1Side(self._owner)
        self._leaving.cancel()
        self._on_side(side, self)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._first)
        if self._owner.is_draining:
            side.leave()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002, D102
        self._owner.closed(self)
