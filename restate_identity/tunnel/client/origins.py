"""The scheme, host and port that a request is forwarded to, and the only spelling of them that is accepted.

A name and an IPv4 address have one spelling, and an IPv6 address is given one. Resolvers read `2130706433`, `0x7f.1`
and `0177.0.0.1` as 127.0.0.1, and URL parsers disagree about users, escapes and zones; so all of these are refused,
whatever the allow-list says.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

Address = IPv4Address | IPv6Address

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_HOST = 253
# An underscore is common in the names of Compose services.
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*").fullmatch
_PORT = re.compile(r"[1-9][0-9]{0,4}").fullmatch
# If the last label looks like a number, resolvers read the whole host as an IPv4 address.
_NUMBER = re.compile(r"([0-9]+|0x[0-9a-f]*)").fullmatch


class Origin(NamedTuple):
    """Where to send a request.

    Attributes:
        scheme: ``http`` or ``https``.
        host: A name or an address; an IPv6 address has no brackets.
        port: 1 to 65535.
    """

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The host, with the port unless it is the scheme's default."""
        host = self.bracketed
        return host if DEFAULT_PORTS[self.scheme] == self.port else f"{host}:{self.port}"

    @property
    def bracketed(self) -> str:
        """The host as it stands in a URI, with brackets around an IPv6 address."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bracketed}:{self.port}"


def origin(scheme: str, host: str, port: str) -> Origin:
    """Return the origin that these segments of a forwarded path name.

    Raises:
        ValueError: A segment is not spelled in the one accepted way. The message does not quote it.
    """
    if scheme not in DEFAULT_PORTS:
        raise ValueError("the scheme must be http or https, in lower case")
    return Origin(scheme, host_of(host), port_of(port))


def origin_in(text: str) -> Origin:
    """Return the origin in *text*, ``scheme://host[:port]``, or raise ValueError."""
    scheme, _, authority = text.partition("://")
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, str(DEFAULT_PORTS.get(scheme, 0))
    return origin(scheme, host, port)


def port_of(text: str) -> int:
    """Return the port in *text*, or raise ValueError."""
    if not _PORT(text) or int(text) > 65535:
        raise ValueError("the port must be a number from 1 to 65535, without leading zeros")
    return int(text)


def host_of(text: str) -> str:
    """Return the host in *text*, a name or an address, without the brackets of an IPv6 address.

    Raises:
        ValueError: It is neither, or has another spelling than the accepted one.
    """
    if len(text) > MAX_HOST:
        raise ValueError(f"the host has more than {MAX_HOST} characters")
    if text.startswith("[") and text.endswith("]"):
        return str(_ipv6(text[1:-1]))
    if not _NAME(text):
        raise ValueError(
            "the host must be a name in lower case, an IPv4 address such as 10.0.0.7, or an IPv6 address in brackets: "
            "no user, escape, dot at the end, or character outside ASCII"
        )
    if _NUMBER(text.rpartition(".")[2]):
        return str(_ipv4(text))
    return text


def address_of(host: str) -> Address | None:
    """Return the address that the host of an origin is, or None if it is a name."""
    if ":" in host:
        return IPv6Address(host)
    return IPv4Address(host) if _NUMBER(host.rpartition(".")[2]) else None


def _ipv4(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise ValueError("an IPv4 address must have four decimal numbers without leading zeros") from None


def _ipv6(text: str) -> IPv6Address:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise ValueError("an IPv6 address must be in brackets, and what is in them is none") from None
    if address.scope_id is not None or text != text.lower():
        raise ValueError("an IPv6 address must be in lower case and have no zone")
    return address
