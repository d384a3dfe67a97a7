"""The head of a response as the application gives it, and as it may be sent."""

from __future__ import annotations

import operator
from typing import Any

from restate_identity._quoting import quoted
from restate_identity.tunnel.fields import OF_THE_CONNECTION, has_line_break, is_name


def response_fields(status: int, headers: Any) -> list[tuple[bytes, bytes]]:
    """Return the header fields of a response.

    Raises:
        ValueError, TypeError: One of them is invalid; nothing was sent, and something else still can be.
    """
    status = operator.index(status)
    if not 200 <= status <= 999:
        # A lower one does not end a request (RFC 9110, 15), and HTTP/2 has no other form.
        raise ValueError(f"the status of the response is between 200 and 999, and not {status}")
    fields = [(b":status", b"%d" % status)]
    for name, value in headers:
        lower = bytes(name).lower()
        stripped = bytes(value).strip(b" \t")
        if not is_name(lower) or has_line_break(stripped):
            raise ValueError(f"the response header {quoted(lower.decode('latin-1'))} is not a valid one")
        if lower not in OF_THE_CONNECTION:
            fields.append((lower, stripped))
    return fields
