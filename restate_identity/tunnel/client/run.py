"""`run`: runs the client, and what belongs to it, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from restate_identity._waiting import cancel, cut_short
from restate_identity.tunnel.client.client import TunnelClient
from restate_identity.tunnel.client.settings import ClientSettings
from restate_identity.tunnel.signals import run_until_signalled

logger: logging.Logger = logging.getLogger("restate_identity.tunnel.client")


class Companion(Protocol):
    """A server that runs beside the tunnel: a remote proxy, the health and metrics."""

    async def start(self, client: TunnelClient) -> None:
        """Start to listen. It is called before the tunnel dials; an error ends the process."""

    async def drain(self, within: float) -> None:
        """Accept nothing more, let what is in flight finish for up to *within* seconds, and close."""


async def run(settings: ClientSettings, companions: Sequence[Companion] = ()) -> None:
    """Forward requests until SIGTERM or SIGINT; then finish those in flight, and return.

    The tunnel and the companions drain at the same time, for up to ``settings.timings.grace`` seconds. A second signal
    ends everything at once, and so does a cancellation. Call it in the main thread.

    Raises:
        ValueError: The auth token file cannot be read, or holds no token.
        TunnelError: Dialling again would not help, for instance because the server answers ``unauthorized``. The
            message says what to do. Requests in flight have finished.
        OSError: A companion cannot listen.
        RuntimeError: This is not the main thread.
    """
    client = TunnelClient(settings)
    await run_until_signalled(partial(_run, client, companions, settings.timings.grace), logger, "tunnel client")


async def _run(client: TunnelClient, companions: Sequence[Companion], grace: float, stopping: asyncio.Event) -> None:
    started: list[Companion] = []
    at_once = False
    try:
        for companion in companions:
            started.append(companion)
            await companion.start(client)
        await client.start()
        stopped = asyncio.ensure_future(stopping.wait())
        ended = asyncio.ensure_future(client.tunnel.wait_closed())
        try:
            await asyncio.wait({stopped, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(stopped, ended)
        if (error := client.tunnel.error) is not None:
            raise error
    except asyncio.CancelledError:
        at_once = True  # perhaps both signals came in the same moment
        raise
    finally:
        await _drain(client, started, grace, at_once=at_once)


async def _drain(client: TunnelClient, companions: Sequence[Companion], grace: float, *, at_once: bool) -> None:
    drains = [asyncio.ensure_future(companion.drain(0 if at_once else grace)) for companion in companions]
    try:
        if at_once:
            # An `aclose` that is cancelled ends the requests in flight.
            await cut_short(client.aclose())
        else:
            await client.aclose()
        results = await asyncio.gather(*drains, return_exceptions=True)
    finally:
        for drain in drains:
            drain.cancel()
    for result in results:
        if isinstance(result, Exception):
            logger.error("tunnel client: a server did not stop as it should: %r", result)
