"""Which callers a remote proxy lets pass, and which web pages it keeps out."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from restate_identity.tunnel.client.proxies.callers import Callers

CALLERS = Callers(["tunnel", "*.svc.cluster.local"], ["http://localhost:3000", "https://app.example:443"])


def refused(host: str | None, **headers: str) -> tuple[int, str] | None:
    """Return the status with which a request is refused, and the reason in the metrics; None if it passes."""
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if host is not None:
        fields.append((b"host", host.encode()))
    refusal = CALLERS.refusal(fields)
    return None if refusal is None else (refusal.status, refusal.reason)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LocalHost:8080",
        "localhost.",
        "127.0.0.1:8080",
        "[::1]:8080",
        "[::ffff:127.0.0.1]:8080",
        "10.0.0.7",
        "tunnel:8080",
        "a.svc.cluster.local",
        "a.b.svc.cluster.local:1",
    ],
)
def test_a_caller_that_names_this_machine_an_address_or_an_allowed_host_passes(host: str) -> None:
    assert refused(host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8080",
        "localhost.evil.test",
        "evil.localhost",
        "127.0.0.1.evil.test",
        "svc.cluster.local",
        "evilsvc.cluster.local",
        "tunnel.evil.test",
        "localhost:8080@evil.test",
        "localhost:evil",
        "localhost:",
        "localhost:123456",
        "localhost:\u0661",
        "127.1",
        "2130706433",
        "0x7f.1",
        "[::1]evil:80",
        "[localhost]",
        "[::1",
        "[::1]:",
        "[fe80::1%25eth0]",
        "::1",
        "",
    ],
)
def test_a_name_that_could_be_rebound_does_not(host: str) -> None:
    assert refused(host) == (421, "host")


@pytest.mark.parametrize(
    "host",
    [
        *("0.0.0.0", "0.0.0.0:8080", "[::]", "[::]:8080", "[0:0::0]:8080", "[::ffff:0.0.0.0]:8080", "[::ffff:0:0]"),
        *("255.255.255.255:8080", "[::ffff:255.255.255.255]:8080"),
    ],
)
def test_an_address_of_no_machine_by_which_a_page_could_reach_loopback_does_not(host: str) -> None:
    assert refused(host) == (421, "host")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"accept": "*/*", "sec_fetch_mode": "cors", "user_agent": "curl"}, None),
        ({"origin": "http://localhost:8080"}, None),  # a page of the admin API itself
        ({"origin": "https://localhost:8080"}, None),  # behind something that ends TLS
        ({"origin": "http://localhost:3000"}, None),
        ({"origin": "https://app.example"}, None),
        ({"origin": "http://localhost:3000", "sec_fetch_site": "same-site"}, None),
        ({"sec_fetch_site": "none"}, None),
        ({"sec_fetch_site": "same-origin"}, None),
        ({"origin": "https://evil.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://localhost:3001"}, 403),
        ({"origin": "http://localhost"}, 403),
        ({"origin": "http://127.0.0.1:8080"}, 403),
        ({"origin": "http://localhost:3000.evil.test"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "unheard-of"}, 403),
    ],
)
def test_a_page_of_another_origin_is_kept_out(headers: Mapping[str, str], status: int | None) -> None:
    assert refused("localhost:8080", **headers) == (status and (status, "origin"))


def test_a_request_names_one_host() -> None:
    assert refused(None) == (400, "malformed")
    fields = [(b"host", b"localhost"), (b"host", b"localhost")]
    refusal = CALLERS.refusal(fields)
    assert refusal is not None
    assert refusal.status == 400


@pytest.mark.parametrize("host", ["http://a", "a:80", "*", "*.", "a/b", "", "A.test"])
def test_a_host_that_is_none_is_an_error(host: str) -> None:
    with pytest.raises(ValueError, match="a host of the proxies is a name such as"):
        Callers([host])


@pytest.mark.parametrize("origin", ["localhost:3000", "http://", "http://a/b", "*", "null", "http://*.a", "ftp://a"])
def test_an_origin_that_is_none_is_an_error(origin: str) -> None:
    with pytest.raises(ValueError, match="an origin is a scheme, a host and a port"):
        Callers([], [origin])
