"""The heads and trailers of HTTP/1.1 messages between the tunnel client and a target."""

from __future__ import annotations

import h11
import pytest

from restate_identity.tunnel.client.exchange import RequestHead
from restate_identity.tunnel.client.http1_heads import request_end, request_event, response_head_of, trailers_of


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"DELETE", b"POST", b"BREW"])
def test_a_request_without_a_body_says_so_where_one_is_expected(method: bytes) -> None:
    event = request_event(RequestHead(method, b"/", b"greeter", [(b"te", b"trailers")], ended=True))
    expected = [(b"host", b"greeter"), (b"te", b"trailers"), (b"connection", b"te")]
    expected += [(b"content-length", b"0")] if method in (b"POST", b"BREW") else []
    assert list(event.headers) == expected


def test_what_the_connection_names_ends_there_but_for_what_says_how_to_read_the_body() -> None:
    kept = [(b"a", b"x-two"), (b"z", b"x-two"), (b"x-two", b"2"), (b"content-type", b"x/y"), (b"trailer", b"x-sum")]
    named = (b"connection", b"X-One, content-length,content-type ,trailer")
    received = h11.Response(status_code=200, headers=[named, (b"x-one", b"1"), *kept, (b"content-length", b"1")])
    assert response_head_of(received).headers == [*kept, (b"content-length", b"1")]


def test_many_small_fields_are_too_many_though_they_have_few_bytes() -> None:
    fields = [(b"x", b"1")] * 2000
    with pytest.raises(ValueError, match="a header list of more than"):
        response_head_of(h11.Response(status_code=200, headers=fields))
    with pytest.raises(ValueError, match="a header list of more than"):
        trailers_of(h11.EndOfMessage(headers=fields))


def test_a_trailer_does_not_change_where_a_request_ends_or_whom_it_is_for() -> None:
    fields = [(name, b"1") for name in (b"content-length", b"host", b"trailer", b"te", b"x-sum")]
    assert list(request_end(fields).headers) == [(b"x-sum", b"1")]
