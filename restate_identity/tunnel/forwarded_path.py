"""The path of a forwarded request: what the tunnel put in front of it, and what the application is to see."""

from __future__ import annotations

from typing import NamedTuple


class ForwardedPath(NamedTuple):
    """What the application routes on, byte for byte as it was sent."""

    path: bytes
    """Begins with a slash; still percent-encoded."""
    query: bytes


def forwarded_path(target: bytes) -> ForwardedPath:
    """Return *target*, the ``:path`` of a forwarded request, without the three segments that the tunnel put in front.

    They are ``/<scheme>/<host>/<port>``. They name the deployment, and for an app in this process nothing else: nobody
    dials them. If nothing follows them, the path is ``/``.

    Raises:
        ValueError: They are not there, the port is not a number, or the rest is not ASCII.
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
    return ForwardedPath(b"/" + tail, query)
