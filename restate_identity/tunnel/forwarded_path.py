"""Split the path of a forwarded request into the tunnel's prefix and the path for the application."""

from __future__ import annotations

from typing import NamedTuple


class ForwardedPath(NamedTuple):
    """The path and query that the application gets, byte for byte as they were sent, and what was in front of them."""

    path: bytes
    """Begins with a slash; still percent-encoded."""
    query: bytes
    destination: tuple[bytes, bytes, bytes]
    """Scheme, host and port. Only the stand-alone client (`restate_identity.tunnel.client`) uses them."""


def forwarded_path(target: bytes) -> ForwardedPath:
    """Return *target*, the ``:path`` of a forwarded request, without its first three segments.

    The tunnel server puts ``/<scheme>/<host>/<port>`` in front of the path. For an in-process deployment these segments
    only identify it, and nobody dials them. If nothing follows them, the path is ``/``.

    Raises:
        ValueError: The segments are missing, the port is not a number, or the rest is not ASCII.
    """
    path, _, query = target.partition(b"?")
    parts = path.split(b"/", 4)
    if len(parts) < 4 or parts[0]:
        raise ValueError("the path does not have the form /<scheme>/<host>/<port>/...")
    scheme, host, port = parts[1:4]
    tail = parts[4] if len(parts) > 4 else b""
    if not scheme or not host or not port.isdigit():
        raise ValueError("the path does not begin with a scheme, a host and a port")
    if not tail.isascii():
        raise ValueError("the path is not ASCII")
    return ForwardedPath(b"/" + tail, query, (scheme, host, port))
