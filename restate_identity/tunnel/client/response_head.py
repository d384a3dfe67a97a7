"""Check the head and the trailers of a response of a target."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

from restate_identity.tunnel.client.exchange import Field, ResponseHead
from restate_identity.tunnel.fields import BLANKS, OF_THE_CONNECTION, has_line_break, is_name
from restate_identity.tunnel.handshake import DRAINING_HEADER
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE, HeaderList
from restate_identity.tunnel.response import WITHOUT_BODY, content_length

_STATUS = re.compile(rb"[2-9][0-9]{2}").fullmatch
# By the draining header a tunnel server learns that the whole tunnel drains. A target cannot know. `te` is of requests.
_NOT_OF_A_TARGET = OF_THE_CONNECTION | {DRAINING_HEADER[0], b"te"}


def response_head(received: HeaderList) -> ResponseHead:
    """Return the head with the fields that came over HTTP/2, as `passed_on` has it.

    Some frameworks send fields of the connection there, too, though HTTP/2 forbids them. They mean nothing.

    Raises:
        ValueError: The head is malformed. The message says why, without quoting it.
    """
    if received.size > MAX_HEADER_LIST_SIZE:
        raise ValueError(f"a header list of more than {MAX_HEADER_LIST_SIZE} bytes")
    status: bytes | None = None
    headers: list[Field] = []
    for name, value in received.fields:
        if name == b":status":
            if status is not None or headers or not _STATUS(value):
                raise ValueError("a malformed status")
            status = value
        elif not is_name(name) or has_line_break(value):
            raise ValueError("a malformed header")
        else:
            headers.append((name, value))
    if status is None:
        raise ValueError("no status")
    return passed_on(int(status), headers)


def passed_on(status: int, fields: Iterable[Field], *, named: Set[bytes] = frozenset()) -> ResponseHead:
    """Return the head without the fields of the connection.

    Args:
        status: The status code.
        fields: All fields, in lower case.
        named: Those that ``connection`` names in HTTP/1.1.
    """
    dropped = _NOT_OF_A_TARGET | named
    if status in WITHOUT_BODY:
        dropped |= {b"content-length"}
    return ResponseHead(status, [(name, value.strip(BLANKS)) for name, value in fields if name not in dropped])


def checked_trailers(received: HeaderList) -> list[Field]:
    """Return the trailers without fields of the connection.

    Raises:
        ValueError: They are malformed.
    """
    if received.size > MAX_HEADER_LIST_SIZE:
        raise ValueError(f"trailers of more than {MAX_HEADER_LIST_SIZE} bytes")
    if not all(is_name(name) and not has_line_break(value) for name, value in received.fields):
        raise ValueError("malformed trailers")
    return trailers_passed_on(received.fields)


def trailers_passed_on(fields: Iterable[Field]) -> list[Field]:
    """Return the trailers without fields of the connection, and without blanks around values."""
    return [(name, value.strip(BLANKS)) for name, value in fields if name not in _NOT_OF_A_TARGET]


def body_length(method: bytes, head: ResponseHead) -> int | None:
    """Return the length that the body must have; None if the head does not say.

    Raises:
        ValueError: The lengths differ, or are not numbers.
    """
    if method == b"HEAD" or head.status in WITHOUT_BODY:
        return 0
    return content_length(head.headers)
