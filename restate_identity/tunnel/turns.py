"""Wake the streams that wait for the flow-control window or the socket, in a fair order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import h2.connection

_Waiting = dict[int, asyncio.Future[None]]


class Turns:
    """The streams of one connection that wait to send: each for its own window, or in a queue for the connection's.

    Args:
        connection: Has the flow-control windows.
        is_paused: Returns whether the socket's buffer is full; then no stream is woken.
    """

    def __init__(self, connection: h2.connection.H2Connection, is_paused: Callable[[], bool]) -> None:
        self._h2 = connection
        self._is_paused = is_paused
        self._for_stream: _Waiting = {}
        self._for_connection: _Waiting = {}

    async def wait(self, stream_id: int) -> None:
        """Wait until the stream may have room to send, or has ended."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        blocked = self._h2.local_flow_control_window(stream_id) <= 0 < self._h2.outbound_flow_control_window
        waiting = self._for_stream if blocked and not self._is_paused() else self._for_connection
        waiting[stream_id] = future
        try:
            await future
        finally:
            if waiting.get(stream_id) is future:
                del waiting[stream_id]

    def stream_opened(self, stream_id: int) -> None:
        """Handle a larger window of one stream."""
        _wake(self._for_stream.pop(stream_id, None))

    def connection_opened(self) -> None:
        """Handle a larger window of the connection, or room in the socket's buffer."""
        # Wake streams in order, and only as many as can send: others would queue again, behind later ones.
        room = self._h2.outbound_flow_control_window
        while self._for_connection and room > 0 and not self._is_paused():
            stream_id = next(iter(self._for_connection))
            _wake(self._for_connection.pop(stream_id))
            room -= self._h2.max_outbound_frame_size
            if room <= 0 and self._for_connection:
                # Some streams send less than a full frame; once they have, wake the next ones.
                asyncio.get_running_loop().call_soon(self.connection_opened)

    def all_opened(self) -> None:
        """Handle new settings, which may have enlarged the windows of all streams, but not that of the connection."""
        _wake_all(self._for_stream)

    def release(self, stream_id: int) -> None:
        """Wake a stream that has ended."""
        for waiting in (self._for_stream, self._for_connection):
            _wake(waiting.pop(stream_id, None))

    def release_all(self) -> None:
        """Wake all streams, because the connection has ended."""
        _wake_all(self._for_stream)
        _wake_all(self._for_connection)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _wake_all(waiting: _Waiting) -> None:
    for future in waiting.values():
        _wake(future)
    waiting.clear()
