"""What a wire reports of the streams that the other side opens, beside the events of h2."""

from __future__ import annotations

from typing import NamedTuple

import h2.events
from h2.errors import ErrorCodes

from restate_identity.tunnel.header_blocks import HeaderList


class RequestReceived(NamedTuple):
    """A stream was opened."""

    stream_id: int
    headers: HeaderList
    ended: bool
    """There is no body."""


class TrailersReceived(NamedTuple):
    """The last that the client sends on a stream; h2's StreamEnded follows."""

    stream_id: int
    headers: HeaderList


class StreamFault(NamedTuple):
    """What the client sent on a stream must cost it the stream, and no other one."""

    stream_id: int
    code: ErrorCodes
    """To reset it with."""
    reason: str
    """Safe to log."""


WireEvent = h2.events.Event | RequestReceived | TrailersReceived | StreamFault
