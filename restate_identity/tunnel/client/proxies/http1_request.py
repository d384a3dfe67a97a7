"""The head of an HTTP/1.1 request to a remote proxy, checked for what could be read in two ways."""

from __future__ import annotations

import h11

from restate_identity.tunnel.client.exchange import Field
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE
from restate_identity.tunnel.request import Request


def request_of(event: h11.Request) -> Request:
    """Return the request that *event* begins.

    Raises:
        h11.RemoteProtocolError: It is too large, of an unknown version of HTTP, or a proxy in front may have read its
            body in another way: it has a length and a transfer-encoding, or a transfer-encoding in HTTP/1.0 (RFC 9112,
            6.1).
    """
    if event.http_version not in (b"1.0", b"1.1"):
        raise h11.RemoteProtocolError("an unknown version of HTTP", error_status_hint=505)
    headers = [(bytes(name), bytes(value)) for name, value in event.headers]
    # Counted as over HTTP/2. h11 limits a head only while it is incomplete.
    size = len(event.target) + sum(len(name) + len(value) + 32 for name, value in headers)
    if size > MAX_HEADER_LIST_SIZE:
        raise h11.RemoteProtocolError("too many headers", error_status_hint=431)
    names = {name for name, _ in headers}
    chunked = b"transfer-encoding" in names
    if chunked and (b"content-length" in names or event.http_version != b"1.1"):
        raise h11.RemoteProtocolError("a transfer-encoding that may be read in two ways")
    # h11 has checked that it is one number.
    length = next((int(value) for name, value in headers if name == b"content-length"), None)
    return Request(
        method=event.method.decode("ascii"),
        target=bytes(event.target),
        headers=headers,
        size=size,
        length=length,
        ended=not chunked and not length,
        malformed=False,
    )


def trailers_of(event: h11.EndOfMessage) -> list[Field]:
    """Return the trailers."""
    return [(bytes(name), bytes(value)) for name, value in event.headers]
