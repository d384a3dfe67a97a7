"""Time limits for callers that are slow or have gone to sleep, checked by one timer for all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from restate_identity.asgi import Message, Receive, Send

# In bytes: what a caller must read of a response within the limit.
PIECE = 16 * 1024


@dataclass(frozen=True)
class Patience:
    """Time limits in seconds, and limits on what may be open on one port."""

    head: float = 15.0
    """How long the head of a request may take, from its first byte; and the first byte of a new connection."""
    stall: float = 120.0
    """How long a caller may send nothing of a body that we wait for, or may take to read 16 KiB of a response."""
    idle: float = 300.0
    """How long a connection without requests is kept."""
    check_every: float = 5.0
    """The interval of the timer."""
    connections: int = 1024
    """How many connections may be open. When there are more, the one that is idle for the longest time is closed."""
    requests: int = 4096
    """How many requests may be in flight."""


class PatientCall:
    """Notes since when a call waits for its caller.

    Args:
        receive: Returns the next part of the request.
        send: Sends the next part of the response.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._receiving_since: float | None = None
        self._sending_since: float | None = None
        self.task: asyncio.Task[object] | None = asyncio.current_task()
        self.is_given_up: bool = False

    async def receive(self) -> Message:
        """Wait for the caller to send something."""
        self._receiving_since = self._loop.time()
        try:
            return await self._receive()
        finally:
            self._receiving_since = None

    async def send(self, message: Message) -> None:
        """Wait for the caller to read."""
        body = message.get("body", b"")
        try:
            while len(body) > PIECE:
                self._sending_since = self._loop.time()
                await self._send({"type": message["type"], "body": body[:PIECE], "more_body": True})
                body = body[PIECE:]
            self._sending_since = self._loop.time()
            await self._send({**message, "body": body} if body else message)
        finally:
            self._sending_since = None

    def waits_since(self, then: float) -> bool:
        """Return whether the call has waited for its caller since the time *then*, or for longer."""
        return any(since is not None and since <= then for since in (self._receiving_since, self._sending_since))

    def give_up(self) -> None:
        """End the call."""
        if self.task is not None and not self.is_given_up:
            self.is_given_up = True
            self.task.cancel()
