"""What only TCP can do: notice that a target has vanished or that a client reads, and break a connection off."""

from __future__ import annotations

import asyncio
import socket
import struct

# In seconds: the first probe, the next ones, and how many may fail.
_OPTIONS = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
# In bytes.
_UNSENT = 64 * 1024


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Probe the other side while nothing is sent (RFC 9293, 3.8.4). Over HTTP/1.1 nothing else asks."""
    connection = transport.get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        # Not every platform has them all.
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def hold_little(transport: asyncio.BaseTransport) -> None:
    """Let the kernel take little that it cannot send yet, so that a client that reads slowly is seen to read."""
    connection = transport.get_extra_info("socket")
    # Not every platform has it.
    if connection is not None and (option := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, _UNSENT)


def reset(transport: asyncio.WriteTransport) -> None:
    """Close the connection with a reset, which the other side cannot take for an end."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
