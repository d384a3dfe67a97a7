"""Make the request to the cloud from a request to a remote proxy."""

from __future__ import annotations

import re

from hpack import NeverIndexedHeaderTuple

from restate_identity.tunnel.client.exchange import Field, RequestHead
from restate_identity.tunnel.fields import BLANKS, OF_THE_CONNECTION
from restate_identity.tunnel.request import Request

# TRACE would send the API key back to the caller, and CONNECT asks for a tunnel to somewhere else.
NOT_PASSED = frozenset(("CONNECT", "TRACE"))
# What a proxy must not pass on (RFC 9110, 7.6.1, and 11.7), and what is replaced.
_REPLACED = frozenset((b"host", b"authorization", b"x-forwarded-host"))
_DROPPED = OF_THE_CONNECTION | _REPLACED | {b"expect", b"http2-settings", b"proxy-authorization", b"te"}
# A trailer that is taken for a header must not change whom the request is for, or with whose rights it is made.
NOT_IN_TRAILERS = _DROPPED | {b"content-length", b"cookie", b"trailer"}
_TARGET = re.compile(rb"/[!-~]*").fullmatch


def cloud_request(request: Request, *, authority: bytes, bearer: bytes) -> RequestHead:
    """Return the head of the request to the cloud.

    Args:
        request: What the caller sent; it must have exactly one ``host``.
        authority: The host of the cloud, and its port.
        bearer: The value of ``authorization``.

    Raises:
        ValueError: The target is not a path.
    """
    target = request.target
    if not _TARGET(target) and not (target == b"*" and request.method == "OPTIONS"):
        raise ValueError("the target of a request must be a path in ASCII: this is not a forward proxy")
    named = {
        option.strip().lower()
        for name, value in request.headers
        if name == b"connection"
        for option in value.split(b",")
    }
    headers = [
        (name, value.strip(BLANKS)) for name, value in request.headers if name not in _DROPPED and name not in named
    ]
    if any(field == (b"te", b"trailers") for field in request.headers):
        headers.append((b"te", b"trailers"))
    headers += [(b"x-forwarded-host", value) for name, value in request.headers if name == b"host"]
    headers.append(_secret(b"authorization", bearer))
    return RequestHead(request.method.encode("ascii"), target, authority, headers, request.ended)


def _secret(name: bytes, value: bytes) -> Field:
    # No proxy may put it into a compression table (RFC 7541, 7.1.3).
    return NeverIndexedHeaderTuple(name, value)
