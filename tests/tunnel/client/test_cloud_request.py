"""What a remote proxy makes of a request, before it goes to the cloud."""

from __future__ import annotations

import h11
import pytest
from hpack import NeverIndexedHeaderTuple

from restate_identity.tunnel.client.exchange import Field
from restate_identity.tunnel.client.proxies.cloud_request import cloud_request
from restate_identity.tunnel.client.proxies.http1_request import request_of
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE
from restate_identity.tunnel.request import Request

HOST = (b"host", b"localhost")


def request(*fields: Field, target: bytes = b"/", method: str = "GET") -> Request:
    return request_of(h11.Request(method=method, target=target, headers=[HOST, *fields]))


def passed_on(*fields: Field) -> list[Field]:
    """Return what is left of *fields*, without what the proxy adds."""
    head = cloud_request(request(*fields), authority=b"cloud:8080", bearer=b"Bearer secret")
    assert head.headers[-2:] == [(b"x-forwarded-host", b"localhost"), (b"authorization", b"Bearer secret")]
    return head.headers[:-2]


def test_the_key_is_in_no_compression_table() -> None:
    head = cloud_request(request(), authority=b"cloud:8080", bearer=b"Bearer secret")
    assert (head.method, head.path, head.authority, head.ended) == (b"GET", b"/", b"cloud:8080", True)
    assert [isinstance(field, NeverIndexedHeaderTuple) for field in head.headers] == [False, True]


@pytest.mark.parametrize(
    "field",
    [
        (b"authorization", b"Bearer of-the-caller"),
        (b"x-forwarded-host", b"evil.test"),
        (b"connection", b"keep-alive"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"keep-alive"),
        (b"upgrade", b"h2c"),
        (b"expect", b"100-continue"),
        (b"http2-settings", b"AAMAAABkAAQAAP__"),
        (b"proxy-authorization", b"Basic eDp5"),
        (b"te", b"gzip"),
    ],
)
def test_what_is_for_the_proxy_is_not_for_the_cloud(field: Field) -> None:
    assert passed_on(field, (b"x-own", b"1")) == [(b"x-own", b"1")]


def test_what_the_connection_names_ends_there_whatever_its_case() -> None:
    named = (b"connection", b"close ,\tX-One,x-two")
    others = [(b"x-three", b"3"), (b"a", b"x-three"), (b"x", b"x-three")]
    assert passed_on((b"x-one", b"1"), (b"x-two", b"2"), named, *others) == others


def test_trailers_are_allowed_to_come() -> None:
    assert passed_on((b"te", b"trailers"), (b"x", b"1")) == [(b"x", b"1"), (b"te", b"trailers")]


def test_blanks_around_a_value_end_there() -> None:
    blank = request()._replace(headers=[HOST, (b"x", b" \t1 2\t ")])
    head = cloud_request(blank, authority=b"cloud", bearer=b"Bearer secret")
    assert head.headers[0] == (b"x", b"1 2")


@pytest.mark.parametrize(
    ("method", "target", "passes"),
    [
        ("GET", b"/!~?a=b#", True),
        ("OPTIONS", b"*", True),
        ("GET", b"*", False),
        ("POST", b"*", False),
        ("OPTIONS", b"**", False),
        ("OPTIONS", b"!", False),
        ("GET", b"http://evil.test/", False),
        ("GET", b"a/", False),
        ("GET", b"/\xff", False),
        ("GET", b"/\x7f", False),
    ],
)
def test_only_a_path_in_ascii_is_asked_for(method: str, target: bytes, *, passes: bool) -> None:
    asked = request(method=method)._replace(target=target)
    if passes:
        assert cloud_request(asked, authority=b"cloud", bearer=b"x").path == target
        return
    with pytest.raises(ValueError, match="must be a path in ASCII"):
        cloud_request(asked, authority=b"cloud", bearer=b"x")


@pytest.mark.parametrize(
    ("field", "length", "ended"),
    [
        ((b"x", b"1"), None, True),
        ((b"content-length", b"0"), 0, True),
        ((b"content-length", b"7"), 7, False),
        ((b"transfer-encoding", b"chunked"), None, False),
    ],
)
def test_a_request_has_a_body_if_it_says_so(field: Field, length: int | None, *, ended: bool) -> None:
    received = request(field, method="POST")
    assert (received.method, received.length, received.ended, received.malformed) == ("POST", length, ended, False)


def test_a_head_may_have_64_kib() -> None:
    room = MAX_HEADER_LIST_SIZE - request().size
    assert room == 64 * 1024 - len("/" + "host" + "localhost") - 32
    fields = [(b"x", b"1" * (room % 1000 + 1000 - 33)), *[(b"x", b"1" * (1000 - 33))] * (room // 1000 - 1)]
    assert request(*fields).size == MAX_HEADER_LIST_SIZE
    with pytest.raises(h11.RemoteProtocolError, match="too many headers") as refused:
        request(*fields, target=b"/2")
    assert refused.value.error_status_hint == 431
