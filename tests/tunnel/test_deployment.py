"""The URL to register a tunnel with."""

from __future__ import annotations

import pytest

from restate_identity.tunnel.deployment import deployment_url


@pytest.mark.parametrize(
    ("proxy_url", "url"),
    [
        ("https://tunnel.eu.restate.cloud:9080/201/a", "https://tunnel.eu.restate.cloud:9080/201/a"),
        ("https://tunnel.eu.restate.cloud/201/a/", "https://tunnel.eu.restate.cloud:9080/201/a"),
        ("https://tunnel.X:/201/X", "https://tunnel.X:9080/201/X"),
        ("http://[::1]/201/a", "http://[::1]:9080/201/a"),
        ("http://127.0.0.1:1/x", "http://127.0.0.1:1/x"),
    ],
)
def test_the_deployment_is_in_process_behind_the_proxy(proxy_url: str, url: str) -> None:
    assert deployment_url(proxy_url) == f"{url}/http/in-process/9080/"


@pytest.mark.parametrize(
    "proxy_url",
    [
        *("", "tunnel", "ftp://a/b", "https://a:b/c", "https://[a/b", "https:///b", "javascript:x"),
        *("https://ada@a/b", "https://ada:secret@a:1/b", "https://a/\x1b[2J", "https://a/\x85", "https://a/\xff b"),
    ],
)
def test_what_is_no_url_is_not_shown_as_one(proxy_url: str) -> None:
    with pytest.raises(ValueError, match=r"^the tunnel server sent a proxy URL that is not an HTTP URL"):
        deployment_url(proxy_url)
