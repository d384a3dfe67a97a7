"""What is taken from the head and the trailers of a target's response, and what is refused."""

from __future__ import annotations

import pytest

from restate_identity.tunnel.client.exchange import Field, ResponseHead
from restate_identity.tunnel.client.response_head import (
    body_length,
    checked_trailers,
    passed_on,
    response_head,
)
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE, HeaderList
from restate_identity.tunnel.response import check_size

STATUS = (b":status", b"200")


def received(*fields: Field, size: int = 100) -> HeaderList:
    return HeaderList(list(fields), size)


def test_fields_are_kept_in_their_order_but_for_those_of_the_connection() -> None:
    kept = [(b"!x", b"1"), (b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"x-b", b"")]
    fields = [*kept[:3], (b"connection", b"close"), (b"te", b"trailers"), kept[3]]
    assert response_head(received(STATUS, *fields)) == ResponseHead(200, kept)
    assert checked_trailers(received(*fields)) == kept


@pytest.mark.parametrize(
    ("status", "kept"), [(200, True), (203, True), (204, False), (205, True), (304, False), (599, True)]
)
def test_a_length_is_kept_unless_there_is_no_content(status: int, kept: bool) -> None:
    length = (b"content-length", b"3")
    assert passed_on(status, [length]).headers == ([length] if kept else [])


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        *((b"POST", 200, 3), (b"GET", 200, 3), (b"HEAD", 200, 0), (b"PUT", 303, 3), (b"PUT", 305, 3)),
        *((b"POST", 204, 0), (b"POST", 304, 0), (b"POST", 203, 3), (b"POST", 205, 3)),
    ],
)
def test_the_length_of_a_body_is_what_the_head_says(method: bytes, status: int, expected: int) -> None:
    head = ResponseHead(status, [(b"age", b"1"), (b"content-length", b"3"), (b"content-length", b"3"), (b"x", b"2")])
    assert body_length(method, head) == expected
    assert body_length(method, ResponseHead(status, [(b"age", b"1")])) == (None if expected else 0)


@pytest.mark.parametrize("values", [(b"3", b"4"), (b"",), (b"-1",), (b"+1",), (b"1" * 19,), (b"0x1",)])
def test_a_length_that_is_not_one_number_is_refused(values: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="malformed content-length"):
        body_length(b"POST", ResponseHead(200, [(b"content-length", value) for value in values]))


def test_a_list_of_fields_may_have_64_kib_and_no_more() -> None:
    field = (b"x-a", b"b" * (MAX_HEADER_LIST_SIZE - 32 - 3))
    check_size([field])
    check_size([(b"x-a", b"b")])
    for longer in ([field, (b"", b"")], [(b"x-a", field[1] + b"b")], [(b"x-ab", field[1])]):
        with pytest.raises(ValueError, match="header list of more than 65536 bytes"):
            check_size(longer)
    response_head(received(STATUS, size=MAX_HEADER_LIST_SIZE))
    checked_trailers(received(size=MAX_HEADER_LIST_SIZE))
    for size in (MAX_HEADER_LIST_SIZE + 1, MAX_HEADER_LIST_SIZE + 2):
        with pytest.raises(ValueError, match="header list of more than 65536 bytes"):
            response_head(received(STATUS, size=size))
        with pytest.raises(ValueError, match="trailers of more than 65536 bytes"):
            checked_trailers(received(size=size))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], "no status"),
        ([(b"x-a", b"1")], "no status"),
        ([(b":status", b"20")], "a malformed status"),
        ([(b":status", b"199")], "a malformed status"),
        ([(b":status", b"2000")], "a malformed status"),
        ([STATUS, STATUS], "a malformed status"),
        ([(b"x-a", b"1"), STATUS], "a malformed status"),
        ([STATUS, (b"X-A", b"1")], "a malformed header"),
        ([STATUS, (b":path", b"/")], "a malformed header"),
        ([STATUS, (b"x-a", b"1\n2")], "a malformed header"),
    ],
)
def test_a_malformed_head_is_refused_without_being_quoted(fields: list[Field], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        response_head(received(*fields))


@pytest.mark.parametrize("field", [(b":status", b"200"), (b"X-A", b"1"), (b"x-a", b"\0")])
def test_malformed_trailers_are_refused_without_being_quoted(field: Field) -> None:
    with pytest.raises(ValueError, match=r"^malformed trailers$"):
        checked_trailers(received((b"x-b", b"1"), field))
