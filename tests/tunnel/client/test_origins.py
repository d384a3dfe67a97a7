"""A destination has one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restate_identity.tunnel.client.origins import Origin, address_of, origin, origin_in


@pytest.mark.parametrize(
    ("host", "dialled"),
    [
        ("greeter", "greeter"),
        ("greeter.default.svc.cluster.local", "greeter.default.svc.cluster.local"),
        ("my_service-2", "my_service-2"),
        ("1password.example", "1password.example"),
        ("10.0.0.7", "10.0.0.7"),
        ("[fd00::7]", "fd00::7"),
        ("[fd00:0:0:0:0:0:0:7]", "fd00::7"),
    ],
)
def test_a_name_or_an_address_is_a_host(host: str, dialled: str) -> None:
    assert origin("http", host, "9080") == Origin("http", dialled, 9080)


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.01", "127.0.0.0x1"),
        *("127.0.0.256", "1.2.3.4.5", "a.1", "a.0x", "256", "127.0.0.1."),
        *("[::1%25lo]", "[fe80::1%eth0]", "[FD00::1]", "[::1", "::1]", "::1", "[127.0.0.1]", "[]", "[::1]x", "[[::1]]"),
        *("user@greeter", "user:password@greeter", "greeter@169.254.169.254", "greeter:80", "greeter%00", "%67reeter"),
        *("Greeter", "GREETER", "greeter.", ".greeter", "a..b", "-a", "a-", "a b", "grüße", "\u2460", "ⅰ.example"),
        *("", ".", "*", "*.example", "a,b", "a;b", "a#b", "a\\b", "a\tb", "a\n", "a" * 64, ".".join(["a" * 60] * 5)),
    ],
)
def test_any_other_spelling_of_a_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"the host|IPv"):
        origin("http", host, "9080")


@pytest.mark.parametrize(
    "port", ["0", "65536", "080", "99999999999999999999", "", "-1", "+80", "8 0", "80\n", "٨٠", "http"]
)
def test_a_port_is_a_number_from_1_to_65535(port: str) -> None:
    with pytest.raises(ValueError, match="port"):
        origin("http", "greeter", port)


@pytest.mark.parametrize("port", ["1", "80", "65535"])
def test_the_least_and_the_greatest_port_are_accepted(port: str) -> None:
    assert origin("http", "greeter", port).port == int(port)


@pytest.mark.parametrize("scheme", ["HTTP", "Https", "ftp", "file", "unix", "", "http ", "h2c", "ws"])
def test_a_scheme_is_http_or_https(scheme: str) -> None:
    with pytest.raises(ValueError, match="scheme"):
        origin(scheme, "greeter", "80")


@pytest.mark.parametrize(
    ("given_origin", "authority"),
    [
        (Origin("http", "greeter", 80), "greeter"),
        (Origin("https", "greeter", 443), "greeter"),
        (Origin("https", "greeter", 80), "greeter:80"),
        (Origin("http", "fd00::7", 9080), "[fd00::7]:9080"),
    ],
)
def test_the_authority_has_the_port_unless_it_is_the_default(given_origin: Origin, authority: str) -> None:
    assert given_origin.authority == authority


@given(st.text(max_size=40))
def test_what_is_accepted_has_one_meaning(host: str) -> None:
    try:
        accepted = origin("http", host, "80")
    except ValueError:
        return
    assert accepted.host.isascii()
    assert accepted.host == accepted.host.lower()
    address = address_of(accepted.host)
    assert address is None or str(address) == accepted.host


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://greeter", Origin("http", "greeter", 80)),
        ("https://greeter", Origin("https", "greeter", 443)),
        ("https://greeter:8443", Origin("https", "greeter", 8443)),
        ("http://[fd00::7]", Origin("http", "fd00::7", 80)),
        ("http://[fd00::7]:9080", Origin("http", "fd00::7", 9080)),
    ],
)
def test_an_origin_is_read_from_its_text_with_or_without_a_port(text: str, found: Origin) -> None:
    assert origin_in(text) == found


@pytest.mark.parametrize(
    "text", ["greeter:80", "ftp://greeter", "http://", "http://greeter:", "http://greeter/", "://a"]
)
def test_a_text_that_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"the (scheme|host|port) "):
        origin_in(text)


def test_a_host_has_253_characters_and_no_more() -> None:
    longest = ".".join(["a" * 61] * 4 + ["a" * 5])
    assert len(longest) == 253
    assert origin("http", longest, "80").host == longest
    with pytest.raises(ValueError, match="more than 253"):
        origin("http", longest + "a", "80")
