"""Check the headers of a response that the application starts."""

from __future__ import annotations

import operator
from typing import Any

from restate_identity._quoting import quoted
from restate_identity.tunnel.fields import BLANKS, OF_THE_CONNECTION, has_line_break, is_name


def response_fields(status: int, headers: Any) -> list[tuple[bytes, bytes]]:
    """Return the header fields to send for a response with *status* and *headers*.

    Raises:
        ValueError, TypeError: The status or a header is invalid. Nothing was sent, so another response is possible.
    """
    status = operator.index(status)
    if not 200 <= status <= 999:
        # A lower status is not final (RFC 9110, 15), and HTTP/2 allows only three digits.
        raise ValueError(f"the status of a response must be between 200 and 999, not {status}")
    fields = [(b":status", b"%d" % status)]
    for name, value in headers:
        lower = bytes(name).lower()
        stripped = bytes(value).strip(BLANKS)
        if not is_name(lower) or has_line_break(stripped):
            raise ValueError(f"the response header {quoted(lower.decode('latin-1'))} is not valid")
        if lower not in OF_THE_CONNECTION:
            fields.append((lower, stripped))
    return fields
