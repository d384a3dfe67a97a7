"""Keep web pages out of the remote proxies: a browser on the same machine sends what any page tells it to.

- A page of another origin sends its ``origin`` with whatever changes something, and current browsers send
  ``sec-fetch-site`` with the rest. Such requests are refused, unless the origin is one of those that are allowed.
- With DNS rebinding, a page makes its own name resolve to 127.0.0.1, and then is of the same origin as the proxy. It
  cannot hide its name: ``host`` has it. So a request must name an address, ``localhost``, or one of the hosts that are
  allowed. An address cannot be rebound.
- 0.0.0.0 and ``::`` are no address of a machine, but reach loopback. Browsers that let pages do so send neither
  ``origin`` nor ``sec-fetch-site`` there. So they are refused, and the broadcast address with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from restate_identity.tunnel.client.exchange import Field
from restate_identity.tunnel.client.origins import host_of, origin_in

_is_port = re.compile(r":[0-9]{1,5}").fullmatch
_FROM_HERE = (b"same-origin", b"none")
_BROADCAST = IPv4Address("255.255.255.255")


class Refusal(NamedTuple):
    """Why a request does not get to the cloud."""

    status: int
    reason: str
    """A stable word, for the metrics."""
    text: str
    """For the caller; it quotes nothing of the request."""


_TWO_HOSTS = Refusal(400, "malformed", "a request must have exactly one host\n")
_HOST = Refusal(
    421,
    "host",
    "this proxy gives access with an API key, so it answers only to addresses such as 127.0.0.1 (not 0.0.0.0), to "
    "localhost, and to the names that --proxy-host (RESTATE_PROXY_HOSTS) allows\n",
)
_ORIGIN = Refusal(
    403,
    "origin",
    "this proxy gives access with an API key, so web pages of other origins may not use it, except those that "
    "--proxy-origin (RESTATE_PROXY_ORIGINS) allows\n",
)


class Callers:
    """Which requests may pass.

    Args:
        hosts: Names that ``host`` may have, besides ``localhost`` and addresses; ``*.`` and a name for all below it.
        origins: Origins of web pages that may use the proxy, ``http://localhost:3000``.

    Raises:
        ValueError: A host or an origin is malformed. The message says what to write.
    """

    def __init__(self, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._hosts = frozenset(map(_checked_host, hosts)) | {"localhost"}
        self._suffixes = tuple(host[1:] for host in self._hosts if host.startswith("*."))
        self._origins = frozenset(map(_checked_origin, origins))

    def refusal(self, headers: Iterable[Field]) -> Refusal | None:
        """Return why a request with these *headers* is refused; None if it may pass."""
        hosts, origins, sites = [], [], []
        for name, value in headers:
            if name == b"host":
                hosts.append(value.lower())
            elif name == b"origin":
                origins.append(value.lower())
            elif name == b"sec-fetch-site":
                sites.append(value.lower())
        if len(hosts) != 1:
            return _TWO_HOSTS
        (host,) = hosts
        if not self._is_known(_name(host)):
            return _HOST
        own = (b"http://" + host, b"https://" + host)
        foreign = [value for value in origins if value not in own]
        if foreign:
            return None if self._origins.issuperset(value.decode("latin-1") for value in foreign) else _ORIGIN
        if not all(site in _FROM_HERE for site in sites):
            return _ORIGIN
        return None

    def _is_known(self, name: str) -> bool:
        return name in self._hosts or name.endswith(self._suffixes) or _is_address(name)


def _name(host: bytes) -> str:
    """Return the name or address in a host header, without the port and without brackets; empty if it is none."""
    text = host.decode("latin-1")
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        return address if bracket and ":" in address and (not port or _is_port(port)) else ""
    name, colon, port = text.partition(":")
    return name.removesuffix(".") if _is_port(colon + port) or not colon else ""


def _is_address(name: str) -> bool:
    try:
        address = ip_address(name)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        address = address.ipv4_mapped or address
    return not address.is_unspecified and address != _BROADCAST


def _checked_host(text: str) -> str:
    try:
        host_of(text.removeprefix("*."))
    except ValueError as error:
        raise ValueError(f"a host of the proxies is a name such as tunnel.example.com: {error}") from None
    return text


def _checked_origin(text: str) -> str:
    try:
        # A browser leaves out the default port (RFC 6454, 6.2), as `authority` does.
        found = origin_in(text)
    except ValueError as error:
        raise ValueError(f"an origin is a scheme, a host and a port, such as http://localhost:3000: {error}") from None
    return f"{found.scheme}://{found.authority}"
