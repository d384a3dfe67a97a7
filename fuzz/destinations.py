"""The fuzz target of the tunnel client: which address is dialled for a request, and whether the allow-list names it."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from fuzz.attempt import Attempt, Target, demand, is_safe_to_log, text
from restate_identity.tunnel.client.allow_list import AllowList
from restate_identity.tunnel.client.origins import Origin, origin, origin_in
from restate_identity.tunnel.client.special_addresses import METADATA
from restate_identity.tunnel.forwarded_path import forwarded_path

_METADATA = [ip_network(network) for network, _ in METADATA]


class Destination(NamedTuple):
    """What a request asks for, and whether it is dialled."""

    origin: Origin
    address: IPv4Address | IPv6Address
    may_be_dialled: bool
    is_dialled: bool


def _attempt(data: bytes) -> Attempt:
    """Read the targets, separated by blanks; the path of a request; and the address that its host resolves to."""
    targets, path, address = ([*data.split(b"\n", 2), b"", b""])[:3]
    # The operator's list; what it costs is not for a stranger to choose.
    texts = text(targets).split(" ")[:8]
    allowed: AllowList | ValueError
    try:
        allowed = AllowList.parse(texts)
    except ValueError as error:
        allowed = error
    try:
        resolved = ip_address(text(address))
    except ValueError:
        resolved = ip_address("10.1.2.3")

    def call() -> Destination | ValueError:
        if isinstance(allowed, ValueError):
            return allowed
        try:
            asked = origin(*(segment.decode("latin-1") for segment in forwarded_path(path).destination))
        except ValueError as error:
            return error
        may = allowed.may_be_dialled(asked)
        return Destination(asked, resolved, may, may and allowed.admits(asked, resolved))

    def judge(outcome: Destination | ValueError) -> None:
        if isinstance(outcome, ValueError):
            # That of a target quotes what the operator wrote, perhaps in another script.
            message = str(outcome)
            is_safe_to_log(ascii(message) if message.isprintable() else message)
            return
        asked = outcome.origin
        demand(origin_in(str(asked)) == asked, "an origin has a second spelling")
        _, scheme, host, port = text(path.partition(b"?")[0]).split("/")[:4]
        if host.startswith("["):
            # It may be abbreviated in several ways.
            host = str(ip_address(host[1:-1]))
        demand((scheme, host, port) == (asked.scheme, asked.host, str(asked.port)), "another origin than in the path")
        if outcome.is_dialled:
            demand(any(_names(target, outcome) for target in texts), "dialled, and no target names it")

    return Attempt(call, judge)


def _names(target: str, wanted: Destination) -> bool:
    """Return whether *target* names what is dialled, by a reading of its own."""
    asked, address = wanted.origin, wanted.address
    scheme, host, port = _read(target)
    if scheme not in ("", asked.scheme) or port not in ("", str(asked.port)):
        return False
    with suppress(ValueError):
        network = ip_network(host)
        return address in network and (network.num_addresses == 1 or not _is_special(address))
    if _is_special(address):
        return host == asked.host == "localhost" and address.is_loopback
    return asked.host.endswith(host[1:]) if host.startswith("*.") else asked.host == host


def _read(target: str) -> tuple[str, str, str]:
    """Return the scheme, the host or network, and the port of a target; each is empty if there is none."""
    scheme, separator, rest = target.rpartition("://")
    host, port = rest.removesuffix("/") if separator else rest, ""
    if host.startswith("["):
        host, _, port = host[1:].partition("]")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    return scheme, host, port.removeprefix(":") or {"http": "80", "https": "443"}.get(scheme, "")


def _is_special(address: IPv4Address | IPv6Address) -> bool:
    """Return whether *address* is of this machine, of its link, or of the cloud's metadata, as Python sees it."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped is not None:
        return True
    named = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return named or any(address in network for network in _METADATA)


def _seeds() -> list[bytes]:
    allowed = (
        *("http://greeter:9080", "greeter", "*.svc.cluster.local", "http://*.svc:9080", "10.0.0.0/8", "10.1.2.3/32"),
        *("127.0.0.1:9080", "localhost", "[fd00::/8]:9080", "https://[fd00::7]", "0.0.0.0/0", "::/0", "10.0.0.1/8"),
        *("169.254.169.254", "http://user@greeter", "*", "greeter/x", "http://a,http://b"),
    )
    asked = (
        *("/http/greeter/9080/invoke/Greeter/greet", "/https/greeter/443", "/http/a.svc.cluster.local/9080/x"),
        *("/http/10.1.2.3/9080/", "/http/[fd00::7]/9080/", "/http/localhost/9080/", "/http/127.0.0.1/9080/"),
        *("/http/2130706433/80/", "/http/0x7f.1/80/", "/http/[::ffff:127.0.0.1]/80/", "/http/greeter./80/"),
    )
    addresses = ("10.1.2.3", "127.0.0.1", "169.254.169.254", "fd00::7", "::1", "::ffff:10.1.2.3", "100.100.100.200", "")
    return ["\n".join((one, path, address)).encode() for one in allowed for path in asked for address in addresses]


DESTINATION = Target(_attempt, _seeds)
