"""Which header fields may be in a message of HTTP/2."""

from __future__ import annotations

import re

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_NOT_IN_A_VALUE = re.compile(rb"[\0\r\n]").search
# They are about the connection that an HTTP/1.1 server would have, and forbidden here (RFC 9113, 8.2.2).
OF_THE_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))


def is_name(name: bytes) -> bool:
    """Return whether *name* can be that of a field; it is in lower case then."""
    return _NAME(name) is not None


def has_line_break(value: bytes) -> bool:
    """Return whether *value* has in it what no value of a field may have: it could be taken for another field."""
    return _NOT_IN_A_VALUE(value) is not None


def is_field(name: bytes, value: bytes) -> bool:
    """Return whether a client may send such a field."""
    return is_name(name) and name not in OF_THE_CONNECTION and not has_line_break(value)
