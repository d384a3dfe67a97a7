"""What an application may learn and do in the tunnel beyond ASGI, for the stand-alone client.

- The scope's extension `FORWARDED` is a `Forwarded`.
- The last ``http.request`` has the request's trailers as ``trailers``, if there are any.
- The last ``http.response.body`` may have ``trailers``; the caller must have checked them.
- The message `RESET`, with an error code as ``code``, resets the stream.
"""

from __future__ import annotations

from typing import NamedTuple

FORWARDED = "restate_identity.tunnel.forwarded"
RESET = "restate_identity.tunnel.reset"


class Forwarded(NamedTuple):
    """What ASGI has no place for."""

    destination: tuple[bytes, bytes, bytes]
    """Scheme, host and port of the forwarded path, as they were sent."""
    ended: bool
    """Whether the request has neither body nor trailers."""
