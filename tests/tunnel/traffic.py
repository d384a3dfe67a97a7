"""Requests at a steady rate, sent as a tunnel server sends them; what was not served is counted."""

from __future__ import annotations

import asyncio

import h2.exceptions

from tests.tunnel.cloud import PREFIX, Cloud, Line, StreamResetError
from tests.tunnel.dialling import until
from tests.tunnel.tunnels import PATH, SIGNER

INTERVAL = 0.002


class Traffic:
    """Sends a signed request every 2 ms, for the time of a block, over the connections that the clouds have.

    A server that has asked for a drain goes on using the connection until it has another one, and so does this.

    Attributes:
        sent: How many requests there were.
        lost: What became of those that were not served.
    """

    def __init__(self, *clouds: Cloud, prefix: str = PREFIX) -> None:
        self._clouds = clouds
        self._path = f"{prefix}{PATH}"
        self._headers = SIGNER.headers(PATH)
        self._requests: set[asyncio.Task[None]] = set()
        self.sent = 0
        self.lost: list[str] = []

    async def __aenter__(self) -> Traffic:
        self._sending = asyncio.ensure_future(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sending.cancel()
        if self._requests:
            await asyncio.wait(self._requests)

    async def more(self, requests: int = 50) -> None:
        """Wait until so many more were sent."""
        goal = self.sent + requests
        await until(lambda: self.sent >= goal)

    async def _send(self) -> None:
        while True:
            self.sent += 1
            request = asyncio.ensure_future(self._request())
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)
            await asyncio.sleep(INTERVAL)

    async def _request(self) -> None:
        line = self._line()
        if line is None:
            self.lost.append("there is no connection")
            return
        try:
            response = await line.request(self._path, self._headers)
        except (StreamResetError, h2.exceptions.ProtocolError) as error:
            self.lost.append(repr(error))
            return
        if response.status != 200:
            self.lost.append(str(response.status))

    def _line(self) -> Line | None:
        """Return the newest connection, preferably one that is not to be drained."""
        usable = [
            line
            for cloud in self._clouds
            for line in cloud.lines
            if line.is_accepted and not (line.lost or line.goaways)
        ]
        return max(reversed(usable), key=lambda line: not line.drained, default=None)
