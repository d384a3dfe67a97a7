"""What can happen to a connection of the tunnel while it serves. Each returns whether it happened."""

from __future__ import annotations

from tests.tunnel.cloud import Line


async def kill(line: Line) -> bool:
    """Break the connection."""
    line.kill()
    return True


async def drain(line: Line) -> bool:
    """Ask the tunnel to go elsewhere."""
    await line.drain()
    return True


async def goaway(line: Line) -> bool:
    """Announce that nothing more is sent."""
    line.goaway()
    return True


async def give_up(line: Line) -> bool:
    """Stay connected, but give up every stream, if there is one."""
    running = [exchange for exchange in line.exchanges.values() if not exchange.over and not exchange.complete]
    for exchange in running:
        exchange.reset()
    return bool(running)


HARM = (kill, drain, goaway, give_up)
