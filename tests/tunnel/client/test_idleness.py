"""When a connection counts as idle."""

from __future__ import annotations

import asyncio

from restate_identity.tunnel.client.idleness import Idleness
from tests.tunnel.dialling import until

SECONDS = 0.1


async def test_a_connection_is_idle_when_it_was_not_used_since_it_last_began_to_be() -> None:
    loop = asyncio.get_running_loop()
    idle: list[float] = []
    idleness = Idleness(SECONDS, lambda: idle.append(loop.time()))
    for count in (1, 2):
        idleness.begin()
        await asyncio.sleep(SECONDS / 2)
        idleness.begin()
        began = loop.time()
        await until(lambda count=count: len(idle) == count)  # type: ignore[misc]
        # A timer may be early by the resolution of the clock.
        assert idle[-1] - began > SECONDS * 0.9


async def test_a_connection_that_has_ended_is_never_idle() -> None:
    idle: list[bool] = []
    idleness = Idleness(SECONDS, lambda: idle.append(True))
    idleness.begin()
    idleness.end()
    idleness.end()
    await asyncio.sleep(2 * SECONDS)
    assert idle == []
