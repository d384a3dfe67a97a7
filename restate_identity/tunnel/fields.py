"""Which header fields an HTTP/2 message may have."""

from __future__ import annotations

import re

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_NOT_IN_A_VALUE = re.compile(rb"[\0\r\n]").search
# The connection-specific headers of HTTP/1.1, which HTTP/2 forbids (RFC 9113, 8.2.2).
OF_THE_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))

# They may stand around a value (RFC 9110, 5.5), but not in HTTP/2 (RFC 9113, 8.2.1).
BLANKS = b" \t"


def is_name(name: bytes) -> bool:
    """Return whether *name* is a valid field name, which HTTP/2 requires to be lower case."""
    return _NAME(name) is not None


def has_line_break(value: bytes) -> bool:
    """Return whether *value* contains NUL, CR or LF, after which the rest could be read as another field."""
    return _NOT_IN_A_VALUE(value) is not None


def is_field(name: bytes, value: bytes) -> bool:
    """Return whether a client may send this field."""
    return is_name(name) and name not in OF_THE_CONNECTION and not has_line_break(value)
