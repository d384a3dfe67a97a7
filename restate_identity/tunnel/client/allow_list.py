"""The targets that requests may be forwarded to. Nothing else is dialled.

A target is ``[scheme://]host[:port]``. Without a scheme, both are allowed; with a scheme and no port, its default port;
without both, every port. The host is

- a name, which matches exactly, or an address;
- ``*.`` and a name: one or more labels in front of the name, never the name itself;
- a network, ``10.0.0.0/8``: addresses in it, and names that resolve to one.

A special address (`restate_identity.tunnel.client.special_addresses`) is reached only if a target is that address; by a
name only if the name is a target, too. The one exception is ``localhost``, which names the loopback addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from restate_identity._redaction import shown
from restate_identity.tunnel.client.origins import (
    DEFAULT_PORTS,
    Address,
    Origin,
    address_of,
    host_of,
    port_of,
)
from restate_identity.tunnel.client.special_addresses import is_loopback, is_special_network, special

_FORMS = (
    "write http://greeter:9080, a pattern such as *.svc.cluster.local, an address, or a network such as 10.0.0.0/8; "
    "without user, password, path and query"
)


class _Entry(NamedTuple):
    """One target. Of host, suffix, and network, one is set."""

    scheme: str | None
    port: int | None
    host: str | None = None
    suffix: str | None = None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None

    def fits(self, scheme: str, port: int) -> bool:
        return self.scheme in (None, scheme) and self.port in (None, port)


class AllowList:
    """The targets, parsed by `parse`. It is never empty."""

    def __init__(self, texts: tuple[str, ...], entries: tuple[_Entry, ...]) -> None:
        self.texts: tuple[str, ...] = texts
        self._entries = entries

    @classmethod
    def parse(cls, texts: Iterable[str]) -> AllowList:
        """Return the allow-list with the targets in *texts*.

        Raises:
            ValueError: There is no target, or one is malformed. The message says what to write.
            TypeError: *texts* is a single string.
        """
        if isinstance(texts, str):
            raise TypeError("targets is a list of strings, not a single string")
        texts = tuple(texts)
        if not texts:
            raise ValueError(
                "there is no target, so that nothing could be forwarded: pass --target with each service, for instance "
                "--target http://greeter:9080"
            )
        return cls(texts, tuple(_entry(text) for text in texts))

    @property
    def origins(self) -> list[Origin]:
        """The targets that are a single origin, in order."""
        return [Origin(e.scheme, e.host, e.port) for e in self._entries if e.scheme and e.host and e.port]

    def may_be_dialled(self, origin: Origin) -> bool:
        """Return whether *origin* may be a target. If so, `admits` still decides about each address of its host."""
        address = address_of(origin.host)
        if address is not None:
            return self.admits(origin, address)
        return any(e.network is not None or _names(e, origin.host) for e in self._fitting(origin))

    def admits(self, origin: Origin, address: Address) -> bool:
        """Return whether *origin* may be dialled at *address*, which its host is or resolves to."""
        entries = self._fitting(origin)
        literal = address_of(origin.host)
        itself = any(entry.host is not None and address_of(entry.host) == address for entry in entries)
        if special(address) is not None:
            if literal is not None:
                return itself and literal == address
            exactly = any(entry.host == origin.host for entry in entries)
            return exactly and (itself or (origin.host == "localhost" and is_loopback(address)))
        if literal is not None:
            named = itself and literal == address
        else:
            named = any(_names(entry, origin.host) for entry in entries)
        return named or any(entry.network is not None and address in entry.network for entry in entries)

    def _fitting(self, origin: Origin) -> list[_Entry]:
        return [entry for entry in self._entries if entry.fits(origin.scheme, origin.port)]


def _names(entry: _Entry, host: str) -> bool:
    if entry.suffix is not None:
        return host.endswith(entry.suffix) and len(host) > len(entry.suffix) and address_of(host) is None
    return entry.host == host


def _entry(text: str) -> _Entry:
    try:
        return _parsed(text)
    except ValueError as error:
        raise ValueError(f"the target {shown(text)!r} cannot be used: {error}; {_FORMS}") from None


def _parsed(text: str) -> _Entry:
    if any(mark in text for mark in ", \t\n"):
        raise ValueError("it looks like several targets: pass --target once for each")
    before, separator, rest = text.partition("://")
    scheme = before if separator else None
    if scheme is not None and scheme not in DEFAULT_PORTS:
        raise ValueError("the scheme must be http or https, in lower case")
    network = _network(text) if scheme is None else None
    if network is not None:
        return network
    authority, slash, path = (rest if separator else text).partition("/")
    if path and _may_be_address(authority):
        raise ValueError("a network has no scheme")
    if path or (slash and not separator):
        raise ValueError("a path is no part of a target: it belongs into the URI of the deployment")
    if authority == "*":
        raise ValueError("* alone would be every host: name them, or the network that they are in")
    host, port = _split(authority)
    number = port_of(port) if port else DEFAULT_PORTS[scheme] if scheme is not None else None
    if host.startswith("*."):
        name = host_of(host[2:])
        if address_of(name) is not None:
            raise ValueError("a pattern cannot stand for a part of an address: write a network")
        return _Entry(scheme, number, suffix=f".{name}")
    return _Entry(scheme, number, host=host_of(host))


def _split(authority: str) -> tuple[str, str]:
    """Return the host and the port, which is empty if there is none."""
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        return authority, ""
    if not port:
        raise ValueError("there is no port after the colon")
    return host, port


def _may_be_address(host: str) -> bool:
    return host.count(":") > 1 or host.rpartition(".")[2].isdecimal()


def _network(text: str) -> _Entry | None:
    address, slash, rest = text.partition("/")
    if not slash or not _may_be_address(address):
        return None
    length, colon, port = rest.partition(":")
    if address.startswith("["):
        # [fd00::/8]:9080
        inner, bracket, rest = text[1:].partition("]")
        address, _, length = inner.partition("/")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("the bracket of the network is not closed")
        _, colon, port = rest.partition(":")
    try:
        network = ipaddress.ip_network(f"{address}/{int(length) if length.isdecimal() else '?'}", strict=False)
    except ValueError as error:
        raise ValueError("it is not a network") from error
    if ipaddress.ip_address(address) != network.network_address:
        raise ValueError(f"it has bits of a host set: the network is {network}")
    if network.num_addresses == 1:
        return _Entry(None, port_of(port) if colon else None, host=str(network.network_address))
    if is_special_network(network):
        raise ValueError(
            "all addresses of this network are special (loopback, link-local, metadata ...): name each address"
        )
    return _Entry(None, port_of(port) if colon else None, network=network)
