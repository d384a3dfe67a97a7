"""Nothing is dialled that is not a target, and what is special only if a target is that address."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restate_identity.tunnel.client.allow_list import AllowList
from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.special_addresses import METADATA, SPECIAL, described, special

ANY = "10.1.2.3"


def admits(target: str, origin: str, address: str = ANY) -> bool:
    """Return whether *origin* is dialled at *address* if *target* is the only one."""
    scheme, _, authority = origin.partition("://")
    host, _, port = authority.rpartition(":")
    where = Origin(scheme, host.strip("[]"), int(port))
    allowed = AllowList.parse([target])
    return allowed.may_be_dialled(where) and allowed.admits(where, ip_address(address))


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        ("http://greeter:9080", "http://greeter:9080"),
        ("http://greeter:9080/", "http://greeter:9080"),
        ("http://greeter", "http://greeter:80"),
        ("https://greeter", "https://greeter:443"),
        ("greeter:9080", "http://greeter:9080"),
        ("greeter:9080", "https://greeter:9080"),
        ("greeter", "https://greeter:1"),
        ("*.svc.cluster.local", "http://greeter.default.svc.cluster.local:9080"),
        ("*.svc.cluster.local", "http://a.svc.cluster.local:9080"),
        ("http://*.svc:9080", "http://a.svc:9080"),
        ("10.0.0.0/8", "http://10.1.2.3:9080"),
        ("10.0.0.0/8", "http://greeter:9080"),
        ("10.0.0.0/8:9080", "http://greeter:9080"),
        ("0.0.0.0/0", "http://greeter:9080"),
        ("10.1.2.3", "http://10.1.2.3:9080"),
        ("http://10.1.2.3:9080", "http://10.1.2.3:9080"),
        ("10.1.2.3/32", "http://10.1.2.3:9080"),
    ],
)
def test_what_is_a_target_is_dialled(target: str, origin: str) -> None:
    assert admits(target, origin)


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        ("http://greeter:9080", "http://greeter:9081"),
        ("http://greeter:9080", "https://greeter:9080"),
        ("http://greeter:9080", "http://greeter2:9080"),
        ("http://greeter:9080", "http://a.greeter:9080"),
        ("http://greeter:9080", "http://10.1.2.3:9080"),
        ("http://greeter", "http://greeter:9080"),
        ("greeter:9080", "http://greeter:80"),
        ("*.svc.cluster.local", "http://svc.cluster.local:9080"),
        ("*.svc.cluster.local", "http://evilsvc.cluster.local:9080"),
        ("*.svc.cluster.local", "http://svc.cluster.local.evil:9080"),
        ("http://*.svc:9080", "http://a.svc:80"),
        ("11.0.0.0/8", "http://10.1.2.3:9080"),
        ("11.0.0.0/8", "http://greeter:9080"),
        ("10.0.0.0/8:80", "http://greeter:9080"),
        ("fd00::/8", "http://10.1.2.3:9080"),
        ("10.1.2.3", "http://greeter:9080"),
    ],
)
def test_what_differs_in_one_thing_is_not(target: str, origin: str) -> None:
    assert not admits(target, origin)


@pytest.mark.parametrize("network", [network for network, _ in SPECIAL])
def test_a_special_address_is_dialled_only_if_it_is_a_target(network: str) -> None:
    address = ip_network(network)[-1]
    origin = f"http://[{address}]:80" if address.version == 6 else f"http://{address}:80"
    named = origin.removeprefix("http://").removesuffix(":80")
    assert special(address) is not None
    assert admits(named, origin, str(address))
    assert admits(origin, origin, str(address))
    everything = AllowList.parse(["0.0.0.0/0", "::/0", "*.example", "greeter", "http://greeter"])
    for host in (str(address), "greeter", "a.example", "other"):
        assert not everything.admits(Origin("http", host, 80), address)
    both = AllowList.parse(["0.0.0.0/0", "::/0", "*.example", "greeter", named])
    # Rebinding: no other name leads there, neither by a network nor by a pattern.
    assert both.admits(Origin("http", "greeter", 80), address)
    assert not both.admits(Origin("http", "a.example", 80), address)
    assert not both.admits(Origin("http", "other", 80), address)


@pytest.mark.parametrize(("address", "_"), METADATA)
def test_metadata_services_are_special(address: str, _: str) -> None:
    assert special(ip_network(address)[0]) is not None
    assert special(ip_address("169.254.169.254")) is not None


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "127.0.0.1 (this machine, loopback)"),
        ("169.254.169.254", "169.254.169.254 (link-local, as metadata services are)"),
        ("168.63.129.16", "168.63.129.16 (a metadata service of Azure)"),
        ("224.0.0.1", "224.0.0.1 (multicast)"),
        ("255.255.255.255", "255.255.255.255 (reserved)"),
        ("ff02::1", "ff02::1 (multicast)"),
        ("64:ff9b::1", "64:ff9b::1 (an IPv4 address in IPv6 form, NAT64)"),
    ],
)
def test_it_is_told_what_is_special_about_an_address(address: str, told: str) -> None:
    assert described(ip_address(address)) == told


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1"])
def test_localhost_names_the_loopback_addresses_and_no_others(address: str) -> None:
    assert admits("http://localhost:9080", "http://localhost:9080", address)
    for other in ("greeter", "router"):
        assert not admits(f"http://{other}:9080", f"http://{other}:9080", address)
    assert not admits("*.localhost", "http://a.localhost:9080", address)
    assert not admits(
        "http://localhost:9080", f"http://[{address}]:9080" if ":" in address else f"http://{address}:9080"
    )
    assert not admits("http://localhost:9080", "http://localhost:9080", "169.254.169.254")


@pytest.mark.parametrize(
    "address", ["10.0.0.7", "172.17.0.2", "192.168.1.1", "100.64.0.1", "93.184.216.34", "fd00::7", "2a00::1"]
)
def test_addresses_of_private_networks_are_not_special(address: str) -> None:
    assert admits("greeter", "http://greeter:80", address)


def test_the_address_that_was_looked_up_must_be_the_address_that_was_asked_for() -> None:
    for low, high in (("10.1.2.3", "10.1.2.4"), ("127.0.0.1", "127.0.0.2")):
        allowed = AllowList.parse([low, high])
        for asked, looked_up in ((low, high), (high, low)):
            assert not allowed.admits(Origin("http", asked, 80), ip_address(looked_up))
            assert allowed.admits(Origin("http", asked, 80), ip_address(asked))


def test_a_network_of_one_address_is_that_address() -> None:
    assert admits("127.0.0.1/32", "http://127.0.0.1:80", "127.0.0.1")
    assert not admits("127.0.0.1/32", "http://127.0.0.2:80", "127.0.0.2")


def test_no_target_is_an_error_that_says_what_to_pass() -> None:
    with pytest.raises(ValueError, match="--target http://greeter:9080"):
        AllowList.parse([])
    with pytest.raises(TypeError, match="list"):
        AllowList.parse("http://greeter:9080")


@pytest.mark.parametrize(
    "target",
    [
        *("", " ", "*", "*.", "**.a", "a.*", "a*.b", "*.*.b", "*.10.0.0.1", "http://", "//greeter", "greeter:"),
        *("http://:80", "http://greeter/path", "http://greeter?a", "http://greeter#a", "http://user@greeter"),
        *("ftp://greeter", "HTTP://greeter", "http://Greeter"),
        *("http://user:word@greeter:80", "greeter:0", "greeter:65536", "greeter:http", "greeter:*"),
        *("10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/x", "10.0.0.0/", "/8", "[fd00::/8", "[fd00::/8]9080", "fd00::/129"),
        *("http://10.0.0.0/8", "010.0.0.0/8", "10/8", "2130706433", "0x7f.1", "fe80::1%eth0", "[fe80::1%eth0]"),
        *("127.0.0.0/8", "169.254.0.0/16", "169.254.169.0/24", "fe80::/10", "::ffff:0:0/96", "224.0.0.0/4"),
        *("127.0.0.0/31", "169.254.169.254/31"),
    ],
)  # fmt: skip
def test_a_target_that_cannot_be_meant_is_an_error(target: str) -> None:
    with pytest.raises(ValueError, match="cannot be used"):
        AllowList.parse(["http://greeter:9080", target])


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("http://greeter:9080/path", "a path is no part of a target"),
        ("greeter:9080/", "a path is no part of a target"),
        ("greeter:9080/path", "a path is no part of a target"),
        ("greeter/path", "a path is no part of a target"),
        ("http://a:1,http://b:2", "pass --target once for each"),
        ("http://a:1 http://b:2", "pass --target once for each"),
        ("*", r"\* alone would be every host"),
        ("http://*", r"\* alone would be every host"),
        ("10.0.0.1/8", "bits of a host set: the network is 10.0.0.0/8"),
        ("fd00::1/8", "bits of a host set: the network is fd00::/8"),
        ("http://10.0.0.0/8", "a network has no scheme"),
        ("10.0.0.0/33", "it is not a network"),
        ("ftp://greeter", "the scheme must be http or https"),
    ],
)
def test_the_error_names_the_mistake(target: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AllowList.parse([target])


def test_the_error_does_not_quote_a_password() -> None:
    with pytest.raises(ValueError, match="characters that may be a secret") as refusal:
        AllowList.parse(["http://user:hunter2@greeter:80"])
    assert "hunter2" not in str(refusal.value)


def test_an_ipv6_network_takes_a_port_in_brackets() -> None:
    assert admits("[fd00::/8]:9080", "http://[fd00::7]:9080", "fd00::7")
    assert not admits("[fd00::/8]:9080", "http://[fd00::7]:80", "fd00::7")
    assert admits("fd00::/8", "http://[fd00::7]:80", "fd00::7")


def test_the_targets_that_are_one_origin_are_known() -> None:
    targets = ["http://greeter:9080", "*.svc", "http://*.svc:9080", "10.0.0.0/8", "greeter", "greeter:80"]
    allowed = AllowList.parse([*targets, "https://[fd00::7]"])
    assert [str(origin) for origin in allowed.origins] == ["http://greeter:9080", "https://[fd00::7]:443"]


@given(st.ip_addresses(), st.sampled_from(["http://greeter:9080", "*.example", "10.0.0.0/8"]))
def test_an_address_that_is_not_a_target_is_never_dialled_as_one(address: object, target: str) -> None:
    where = ip_address(str(address))
    inside = target == "10.0.0.0/8" and where in ip_network(target)
    assert AllowList.parse([target]).may_be_dialled(Origin("http", str(where), 9080)) is inside
