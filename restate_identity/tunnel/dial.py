"""Dial a target: look up its addresses, connect, and complete the TLS handshake."""

from __future__ import annotations

import asyncio
import ssl

from restate_identity._quoting import quoted
from restate_identity._waiting import cancel, limited
from restate_identity.tunnel.names import addresses, share
from restate_identity.tunnel.targets import Target

_REMEDY = "check the name of the server, and that this machine may open connections to it"


class DialError(Exception):
    """The dial failed. The message says why and what to check; it is safe to log."""


async def dial(
    target: Target, protocol: asyncio.Protocol, *, tls: ssl.SSLContext | None, within: float, unless: asyncio.Event
) -> None:
    """Connect *protocol* to *target*.

    Args:
        target: The server to dial.
        protocol: Its ``connection_made`` is called once the connection is established.
        tls: A context to use instead of the system's certificate authorities; its ALPN protocols are set to ``h2``.
        within: The time limit for the whole dial, in seconds.
        unless: Setting this event ends the dial, and the function returns.

    Raises:
        DialError: There is no connection.
    """
    connecting = asyncio.ensure_future(_connect(target, protocol, tls, within))
    unwanted = asyncio.ensure_future(unless.wait())
    try:
        await asyncio.wait({connecting, unwanted}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            _check(target, connecting.exception())
        elif not unwanted.done():
            raise DialError(f"no connection within {within:g} s: {_REMEDY}")
    finally:
        await cancel(connecting, unwanted)


def _check(target: Target, failure: BaseException | None) -> None:
    if isinstance(failure, DialError):
        raise failure
    if isinstance(failure, ssl.SSLCertVerificationError):
        raise DialError(f"the server cannot prove that it is {quoted(target.server_name)}: {failure.verify_message}")
    if failure is not None:
        raise DialError(f"cannot connect: {str(failure) or type(failure).__name__}: {_REMEDY}")


async def _connect(target: Target, protocol: asyncio.Protocol, tls: ssl.SSLContext | None, within: float) -> None:
    if target.tls:
        tls = tls or ssl.create_default_context()
        tls.set_alpn_protocols(["h2"])
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    failure: Exception | None = None
    found = await addresses(target.host)
    for left, address in zip(range(len(found), 0, -1), found, strict=True):
        gate = _Gate(protocol)
        connecting = loop.create_connection(
            lambda gate=gate: gate,
            address,
            target.port,
            ssl=tls if target.tls else None,
            server_hostname=target.server_name if target.tls else None,
        )
        try:
            # The last one has the rest of the time.
            await limited(connecting, share(until - loop.time(), left))
            gate.check()
        except asyncio.TimeoutError:
            failure = failure or OSError(f"no answer from {address}")
        except (OSError, DialError) as error:
            # Another server of this name may be able to prove it.
            failure = failure or error
        else:
            return
    assert failure is not None
    raise failure


class _Gate(asyncio.Protocol):
    """Lets a connection pass on to *protocol* unless TLS has not agreed on HTTP/2."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._refused: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None and (chosen := tls.selected_alpn_protocol()) != "h2":
            self._refused = chosen or "nothing"
            transport.abort()
            return
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)

    def check(self) -> None:
        """Raise DialError if the connection was not let pass."""
        if self._refused is not None:
            raise DialError(
                f"the server did not select HTTP/2 (ALPN 'h2', it chose {quoted(self._refused)}): "
                "it is not a tunnel server, or a proxy in between inspects TLS"
            )
