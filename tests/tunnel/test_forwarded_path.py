"""What the tunnel puts in front of a path is taken off; the rest is left alone, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restate_identity.tunnel.forwarded_path import forwarded_path


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/http/in-process/9080/discover", b"/discover", b""),
        (b"/http/in-process/9080/invoke/Greeter/greet", b"/invoke/Greeter/greet", b""),
        (b"/https/example.com/443/a", b"/a", b""),
        (b"/http/in-process/9080/", b"/", b""),
        (b"/http/in-process/9080", b"/", b""),
        (b"/http/in-process/9080?a=/b", b"/", b"a=/b"),
        (b"/http/in-process/9080//a//b/", b"//a//b/", b""),
        (b"/http/in-process/9080/a%2Fb/%c3%bc", b"/a%2Fb/%c3%bc", b""),
        (b"/http/in-process/9080/a?b=/c/d?e", b"/a", b"b=/c/d?e"),
        (b"/http/in-process/9080/http/in-process/9080/a", b"/http/in-process/9080/a", b""),
        (b"/http/in-process/9080/../a", b"/../a", b""),
    ],
)
def test_exactly_three_segments_are_dropped(target: bytes, path: bytes, query: bytes) -> None:
    assert forwarded_path(target)[:2] == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"/",
        b"discover",
        b"/discover",
        b"/invoke/Greeter/greet",
        b"/http/in-process",
        b"/http/in-process?a=/9080/discover",
        b"/http/in-process/port/discover",
        b"/http/in-process//discover",
        b"/http/in-process/-1/discover",
        b"/http/in-process/90 80/discover",
        "/http/in-process/٩٠/discover".encode(),
        b"//in-process/9080/discover",
        b"/http//9080/discover",
        b"http/in-process/9080/discover",
        "/http/in-process/9080/ü".encode(),
        b"*",
    ],
)
def test_a_path_without_the_three_segments_is_refused(target: bytes) -> None:
    with pytest.raises(ValueError, match="the path"):
        forwarded_path(target)


@given(
    st.text("abc%2Fdef/", max_size=20).map(str.encode),
    st.binary(max_size=10),
)
def test_any_tail_and_query_come_through_unchanged(tail: bytes, query: bytes) -> None:
    assert forwarded_path(b"/http/in-process/9080/" + tail + b"?" + query)[:2] == (b"/" + tail, query)


def test_what_is_dropped_is_kept_for_the_client_that_forwards() -> None:
    assert forwarded_path(b"/https/example.com/443/a").destination == (b"https", b"example.com", b"443")
