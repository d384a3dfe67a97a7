"""Addresses that a target's name or network must not reach by accident: of this machine, of the cloud's metadata
service, and those that stand for another address.

They are reached only if the address itself is a target.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from restate_identity.tunnel.client.origins import Address

# Where cloud providers answer with the credentials of the machine, outside of the link-local networks.
METADATA = (
    ("100.100.100.200/32", "a metadata service of Alibaba"),
    ("168.63.129.16/32", "a metadata service of Azure"),
    ("192.0.0.192/32", "a metadata service of Oracle"),
    ("fd00:ec2::/64", "a metadata service of AWS"),
    ("fd20:ce::254/128", "a metadata service of Google"),
    ("fd00:c1::a9fe:a9fe/128", "a metadata service of Oracle"),
    ("fd00:42::42/128", "a metadata service of Scaleway"),
)
# The registries are RFC 6890 and those of the single RFCs.
SPECIAL = (
    *METADATA,
    ("0.0.0.0/8", "this machine, unspecified"),
    ("127.0.0.0/8", "this machine, loopback"),
    ("169.254.0.0/16", "link-local, as metadata services are"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::1/128", "this machine, loopback"),
    ("::ffff:0:0/96", "an IPv4 address in IPv6 form"),
    ("::/96", "unspecified, or an IPv4 address in IPv6 form"),
    ("::ffff:0:0:0/96", "an IPv4 address in IPv6 form, SIIT"),
    ("64:ff9b::/96", "an IPv4 address in IPv6 form, NAT64"),
    ("64:ff9b:1::/48", "an IPv4 address in IPv6 form, NAT64"),
    ("2001::/32", "an IPv4 address in IPv6 form, Teredo"),
    ("2002::/16", "an IPv4 address in IPv6 form, 6to4"),
    ("fe80::/10", "link-local, as metadata services are"),
    ("fec0::/10", "site-local, which is deprecated"),
    ("ff00::/8", "multicast"),
)
_NETWORKS: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple((ip_network(text), why) for text, why in SPECIAL)
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def special(address: Address) -> str | None:
    """Return what is special about *address*; None if nothing is."""
    for network, why in _NETWORKS:
        if address in network:
            return why
    return None


def described(address: Address) -> str:
    """Return *address*, and what is special about it."""
    why = special(address)
    return str(address) if why is None else f"{address} ({why})"


def is_special_network(network: IPv4Network | IPv6Network) -> bool:
    """Return whether every address of *network* is special."""
    return any(network.version == known.version and network.subnet_of(known) for known, _ in _NETWORKS)  # type: ignore[arg-type]


def is_loopback(address: Address) -> bool:
    """Return whether *address* is 127.0.0.0/8 or ::1."""
    return any(address in network for network in _LOOPBACK)
