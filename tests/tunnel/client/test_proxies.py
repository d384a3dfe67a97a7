"""The remote proxies: what passes to the cloud, in which form, and how it flows."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.tunnel.client.remote import proxied
from tests.tunnel.dialling import TOKEN

VERSIONS = pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "h2c"])


def client(http2: bool) -> httpx.AsyncClient:
    return httpx.AsyncClient(http1=not http2, http2=http2, trust_env=False, timeout=30)


@VERSIONS
async def test_a_request_gets_to_the_cloud_over_http_2_with_the_api_key(tmp_path: Path, http2: bool) -> None:
    async with proxied(tmp_path) as remote, client(http2) as http:
        headers = {"authorization": "Bearer of-the-caller", "x-own": "1", "te": "trailers", "x-forwarded-host": "evil"}
        answer = await http.request(
            "PURGE", f"{remote.url}/a%2Fb;c?d=%41&e", headers={**headers, "content-type": "x/y"}, content=b"body"
        )
    assert (answer.status_code, answer.content, answer.headers["x-of-the-cloud"]) == (201, b"answered", "yes")
    (scope,) = remote.api.seen
    assert (scope["method"], scope["http_version"], scope["scheme"]) == ("PURGE", "2", "https")
    assert (scope["raw_path"], scope["query_string"]) == (b"/a%2Fb;c", b"d=%41&e")
    assert remote.api.bodies == [b"body"]
    assert remote.api.header("authorization") == [f"Bearer {TOKEN}"]
    assert remote.api.header("x-forwarded-host") == [f"127.0.0.1:{remote.port}"]
    assert remote.api.header("host") == [remote.proxies.ports[0].origin.authority]
    assert (remote.api.header("x-own"), remote.api.header("content-type")) == (["1"], ["x/y"])
    assert remote.proxy.counters.requests == {201: 1}


@VERSIONS
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
async def test_every_method_passes(tmp_path: Path, http2: bool, method: str) -> None:
    async with proxied(tmp_path) as remote, client(http2) as http:
        answer = await http.request(method, f"{remote.url}/x")
        again = await http.request(method, f"{remote.url}/x")
    assert (answer.status_code, answer.content) == (again.status_code, again.content)
    assert (answer.status_code, answer.content) == (201, b"" if method == "HEAD" else b"answered")
    assert [scope["method"] for scope in remote.api.seen] == [method, method]
