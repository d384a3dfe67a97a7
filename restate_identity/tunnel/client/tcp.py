"""Notice that a target has vanished while we wait for its response: over HTTP/1.1 only TCP can ask."""

from __future__ import annotations

import asyncio
import socket

# In seconds: the first probe, the next ones, and how many may fail.
_OPTIONS = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Probe the other side while nothing is sent (RFC 9293, 3.8.4)."""
    connection = transport.get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        # Not every platform has them all.
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
