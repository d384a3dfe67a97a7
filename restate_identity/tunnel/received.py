"""The events of a wire that replace or complement those of h2."""

from __future__ import annotations

from typing import NamedTuple

import h2.events
from h2.errors import ErrorCodes

from restate_identity.tunnel.header_blocks import HeaderList


class RequestReceived(NamedTuple):
    """The client opened a stream with a request."""

    stream_id: int
    headers: HeaderList
    ended: bool
    """Whether the request has no body."""


class ResponseReceived(NamedTuple):
    """On a connection on which we are the client: the head of the final response arrived."""

    stream_id: int
    headers: HeaderList


class TrailersReceived(NamedTuple):
    """The other side sent trailers, which end the stream; h2's StreamEnded follows."""

    stream_id: int
    headers: HeaderList


class StreamFault(NamedTuple):
    """The other side made an error on a stream: reset this stream, and no other."""

    stream_id: int
    code: ErrorCodes
    """The error code for RST_STREAM."""
    reason: str
    """Safe to log."""


WireEvent = h2.events.Event | RequestReceived | ResponseReceived | TrailersReceived | StreamFault
