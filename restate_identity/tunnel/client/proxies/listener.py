"""A port that serves one remote proxy: accepts connections, bounds them, and drains them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from restate_identity._waiting import limited
from restate_identity.asgi import Receive, Send
from restate_identity.tunnel.beyond_asgi import RESET
from restate_identity.tunnel.client.proxies.callers import Refusal
from restate_identity.tunnel.client.proxies.cloud_proxy import CloudProxy
from restate_identity.tunnel.client.proxies.doorway import Doorway
from restate_identity.tunnel.client.proxies.patience import Patience, PatientCall
from restate_identity.tunnel.client.proxies.side import Side
from restate_identity.tunnel.client.serve_address import ServeAddress
from restate_identity.tunnel.deadline import Deadline
from restate_identity.tunnel.request import Request

_BUSY = Refusal(503, "busy", "too many requests are in flight\n")
# How long sockets may take to close at the end.
_FAREWELL = 1.0


class Listener:
    """One port.

    Args:
        proxy: Answers the requests.
        address: Where to listen.
        patience: Time limits, and limits on what may be open.
    """

    def __init__(self, proxy: CloudProxy, address: ServeAddress, patience: Patience) -> None:
        self._proxy = proxy
        self._address = address
        self._patience = patience
        self._server: asyncio.Server | None = None
        self._sides: set[Side] = set()
        self._calls: set[PatientCall] = set()
        self._changed = asyncio.Event()
        self._next_check = Deadline()
        self.is_draining: bool = False
        self._drain_began = 0.0

    @property
    def port(self) -> int:
        """The port that it listens on, once it was started."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._sides)

    async def start(self) -> None:
        """Start to listen.

        Raises:
            OSError: The port is in use, or this process may not use it.
        """
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Doorway(self, self._opened), self._address.listen_on, self._address.port
        )
        self._next_check.set(self._patience.check_every, self._check)

    async def drain(self, within: float) -> None:
        """Accept nothing more, let what is in flight finish for up to *within* seconds, and close everything."""
        if self._server is None:
            return
        self.is_draining = True
        self._drain_began = asyncio.get_running_loop().time()
        self._server.close()
        for side in list(self._sides):
            side.leave()
        try:
            await self._until_closed(within)
        finally:
            self._next_check.cancel()
            for side in list(self._sides):
                side.abort()
        await self._until_closed(_FAREWELL)

    # `Owner`.

    async def serve(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer one request; give it up when its caller is too slow."""
        call = PatientCall(receive, send)
        is_busy = len(self._calls) >= self._patience.requests
        self._calls.add(call)
        try:
            if is_busy:
                await self._proxy.refuse(_BUSY, call.send)
            else:
                await self._proxy(request, call.receive, call.send)
        except asyncio.CancelledError:
            if not call.is_given_up:
                raise
            self._proxy.refused["slow"] += 1
            await send({"type": RESET, "code": 0x8})
        finally:
            self._calls.discard(call)

    def closed(self, side: Side) -> None:
        """Forget a connection."""
        self._sides.discard(side)
        self._changed.set()

    # Connections.

    def _opened(self, side: Side, before: Side | None) -> bool:
        """Note a new connection, or what replaces it; return whether there is room."""
        if before is not None:
            self._sides.discard(before)
        elif self.is_draining or not self._makes_room():
            self._proxy.refused["connections"] += 1
            return False
        self._sides.add(side)
        return True

    def _makes_room(self) -> bool:
        if len(self._sides) < self._patience.connections:
            return True
        idle = [(side.idle_since, side) for side in self._sides if side.idle_since is not None]
        if not idle:
            return False
        _, side = min(idle, key=lambda pair: pair[0])
        side.abort()
        self._sides.discard(side)
        return True

    def _check(self) -> None:
        """Give up what has been waiting for too long."""
        now = asyncio.get_running_loop().time()
        for side in list(self._sides):
            head, idle = side.head_since, side.idle_since
            if head is not None and now - head >= self._patience.head:
                self._proxy.refused["slow"] += 1
                side.abort()
            elif idle is not None:
                leaves_at = max(idle, self._drain_began) if self.is_draining else idle + self._patience.idle
                if now >= leaves_at + self._patience.stall:
                    # The caller does not read the end of a response.
                    side.abort()
                elif now >= leaves_at and not self.is_draining:
                    side.leave()
        for call in self._calls:
            if call.waits_since(now - self._patience.stall):
                call.give_up()
        self._next_check.set(self._patience.check_every, self._check)

    async def _until_closed(self, within: float) -> None:
        async def closed() -> None:
            while self._sides:
                self._changed.clear()
                await self._changed.wait()

        with suppress(asyncio.TimeoutError):
            await limited(closed(), within)
