"""Check the headers of a response that the application starts."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from typing import Any

from restate_identity._quoting import quoted
from restate_identity.tunnel.fields import BLANKS, OF_THE_CONNECTION, has_line_break, is_name
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE

# These responses have no body. A length is wrong with a 204 (RFC 9110, 8.6), and some clients wait for that of a 304.
WITHOUT_BODY = frozenset((204, 304))
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch


def response_fields(status: int, headers: Any) -> list[tuple[bytes, bytes]]:
    """Return the header fields to send for a response with *status* and *headers*.

    Raises:
        ValueError, TypeError: The status or a header is invalid. Nothing was sent, so another response is possible.
    """
    status = operator.index(status)
    if not 200 <= status <= 999:
        # A lower status is not final (RFC 9110, 15), and HTTP/2 allows only three digits.
        raise ValueError(f"the status of a response must be between 200 and 999, not {status}")
    fields: list[tuple[bytes, bytes]] = []
    dropped = OF_THE_CONNECTION | {b"content-length"} if status in WITHOUT_BODY else OF_THE_CONNECTION
    for name, value in headers:
        lower = bytes(name).lower()
        stripped = bytes(value).strip(BLANKS)
        if not is_name(lower) or has_line_break(stripped):
            raise ValueError(f"the response header {quoted(lower.decode('latin-1'))} is not valid")
        if lower not in dropped:
            fields.append((lower, stripped))
    check_size(fields)
    return [(b":status", b"%d" % status), *fields]


def check_size(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise ValueError if the fields are more than the other side of the tunnel takes."""
    if sum(len(name) + len(value) + 32 for name, value in fields) > MAX_HEADER_LIST_SIZE:
        raise ValueError(f"a header list of more than {MAX_HEADER_LIST_SIZE} bytes")


def content_length(fields: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the length that the body must have; None if *fields* do not say.

    Raises:
        ValueError: The lengths differ, or are not numbers.
    """
    lengths = {value for name, value in fields if name == b"content-length"}
    if not lengths:
        return None
    length, *others = lengths
    if others or not _LENGTH(length):
        raise ValueError("a malformed content-length")
    return int(length)
