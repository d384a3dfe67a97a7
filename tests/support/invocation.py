"""Just enough of Restate's service protocol (v5) to call a handler without a Restate server."""

from __future__ import annotations

import json
import re
import struct
from typing import Any

CONTENT_TYPE = "application/vnd.restate.invocation.v5"
MANIFEST_TYPE = "application/vnd.restate.endpointmanifest.v3+json"
_START, _INPUT = 0x0000, 0x0400


def invocation_body(key: str, argument: object) -> bytes:
    """Return the body with which a server calls a handler; *key* is empty for a plain service.

    *argument* is written as JSON; bytes, such as an encrypted value, as they are.
    """
    start = _bytes_field(1, b"an invocation id") + _bytes_field(2, b"inv_demo") + _ONE_KNOWN_ENTRY
    if key:
        start += _bytes_field(6, key.encode())
    value = _bytes_field(1, argument if isinstance(argument, bytes) else json.dumps(argument).encode())
    return _message(_START, start) + _message(_INPUT, _bytes_field(14, value))


def invocation_result(body: bytes) -> dict[str, Any]:
    """Return the JSON object that the handler returned, or an empty one if *body* has none."""
    found = re.search(rb'\{"[^\x00]*\}', body)
    result: dict[str, Any] = json.loads(found.group()) if found else {}
    return result


_ONE_KNOWN_ENTRY = bytes([3 << 3, 1])


def _bytes_field(number: int, content: bytes) -> bytes:
    size, rest = bytearray(), len(content)
    while rest > 127:
        size.append(rest & 127 | 128)
        rest >>= 7
    return bytes([number << 3 | 2, *size, rest]) + content


def _message(kind: int, content: bytes) -> bytes:
    return struct.pack(">HHI", kind, 0, len(content)) + content
