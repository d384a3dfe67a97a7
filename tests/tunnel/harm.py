"""What can happen to a connection of the tunnel while it serves."""

from __future__ import annotations

from tests.tunnel.cloud import Line


async def kill(line: Line) -> None:
    """Break the connection."""
    line.kill()


async def drain(line: Line) -> None:
    """Ask the tunnel to go elsewhere."""
    await line.drain()


async def goaway(line: Line) -> None:
    """Announce that nothing more is sent."""
    line.goaway()


async def give_up(line: Line) -> None:
    """Stay connected, but give up every stream."""
    for exchange in list(line.exchanges.values()):
        if not exchange.over and not exchange.complete:
            exchange.reset()


HARM = (kill, drain, goaway, give_up)
