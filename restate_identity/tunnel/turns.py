"""Wake the streams that wait for the flow-control window or the socket, in a fair order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import h2.connection

_Waiting = dict[int, asyncio.Future[None]]


class Turns:
    """The streams of one connection that wait to send.

    Data waits for the stream's own window, or in a queue for the connection's. Headers need no window, so they wait for
    the socket only, in a queue of their own: else neighbours that are slow to read could hold them up. A stream keeps
    its place in a queue until it has sent something.

    Args:
        connection: Has the flow-control windows.
        is_paused: Returns whether the socket's buffer is full; then no stream is woken.
    """

    def __init__(self, connection: h2.connection.H2Connection, is_paused: Callable[[], bool]) -> None:
        self._h2 = connection
        self._is_paused = is_paused
        self._for_stream: _Waiting = {}
        self._for_connection: _Waiting = {}
        self._for_socket: _Waiting = {}
        self._wakes: list[Callable[[], None]] = [self._wake_headers, self._wake_data]
        self._is_due = False

    async def wait(self, stream_id: int) -> None:
        """Wait until the stream may have room to send data, or has ended."""
        blocked = self._h2.local_flow_control_window(stream_id) <= 0 < self._h2.outbound_flow_control_window
        await self._wait(self._for_stream if blocked and not self._is_paused() else self._for_connection, stream_id)

    async def wait_for_socket(self, stream_id: int) -> None:
        """Wait until the socket's buffer, which is full, may have room for headers, or the stream has ended."""
        await self._wait(self._for_socket, stream_id)

    def stream_opened(self, stream_id: int) -> None:
        """Handle a larger window of one stream."""
        _wake(self._for_stream.pop(stream_id, None))

    def opened(self) -> None:
        """Handle a larger window of the connection, or room in the socket's buffer."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._wake_next)

    def all_opened(self) -> None:
        """Handle new settings, which may have enlarged the windows of all streams, but not that of the connection."""
        _wake_all(self._for_stream)

    def release(self, stream_id: int) -> None:
        """Take its place from a stream that has sent something or has ended, and wake it if it waits."""
        for waiting in (self._for_stream, self._for_connection, self._for_socket):
            _wake(waiting.pop(stream_id, None))

    def release_all(self) -> None:
        """Wake all streams, because the connection has ended."""
        for waiting in (self._for_stream, self._for_connection, self._for_socket):
            _wake_all(waiting)

    async def _wait(self, waiting: _Waiting, stream_id: int) -> None:
        # This keeps the place of a stream that has one.
        waiting[stream_id] = future = asyncio.get_running_loop().create_future()
        try:
            await future
        except BaseException:
            # It may have a place in another queue, too.
            self.release(stream_id)
            raise

    def _wake_next(self) -> None:
        self._is_due = False
        if self._is_paused():
            return
        # Either could fill the buffer again each time, so they take turns in going first.
        self._wakes.reverse()
        for wake in self._wakes:
            wake()

    def _wake_headers(self) -> None:
        _wake_in_order(self._for_socket, len(self._for_socket))

    def _wake_data(self) -> None:
        # As many as can send. Some send less than a full frame; then the next ones follow.
        room = self._h2.outbound_flow_control_window
        if room > 0 and _wake_in_order(self._for_connection, 1 + room // self._h2.max_outbound_frame_size):
            self.opened()


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _wake_in_order(queue: _Waiting, most: int) -> bool:
    """Wake the first streams, and leave them their places. Return whether others wait behind them."""
    for future in queue.values():
        if not future.done():
            if not most:
                return True
            future.set_result(None)
            most -= 1
    return False


def _wake_all(waiting: _Waiting) -> None:
    for future in waiting.values():
        _wake(future)
    waiting.clear()
