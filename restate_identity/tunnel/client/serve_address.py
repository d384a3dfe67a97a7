"""An address to listen on, and whether others than this machine reach it."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from restate_identity._redaction import shown


class ServeAddress(NamedTuple):
    """Where to listen.

    Attributes:
        host: An IP address, or ``localhost``.
        port: 0 to 65535; 0 picks a free one.
    """

    host: str
    port: int

    @property
    def listen_on(self) -> str | None:
        """The host as asyncio takes it. None is all addresses, of IPv4 too: ``[::]`` alone would be of IPv6 only."""
        return None if self.host == "::" else self.host

    @property
    def is_loopback(self) -> bool:
        """Whether only processes of this machine reach it."""
        return self.host == "localhost" or ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def serve_address(text: str) -> ServeAddress:
    """Parse ``127.0.0.1:8080``, ``[::]:8080`` or ``localhost:8080``.

    Raises:
        ValueError: *text* has none of these forms.
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    try:
        address = None if host == "localhost" and not bracketed else ip_address(host)
        if isinstance(address, IPv6Address) != bracketed or "%" in host:
            raise ValueError
        if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{shown(text)!r} is not an address to listen on: write 127.0.0.1:8080, or [::]:8080 for all addresses"
        ) from None
    return ServeAddress(host, int(port))
