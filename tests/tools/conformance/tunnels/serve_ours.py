"""Run our tunnel until SIGTERM, with shorter times, and with the test's name server if there is one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl

from restate_identity.tunnel import TunnelTimings, serve_tunnel
from restate_identity.tunnel.connect import open_tunnel
from restate_identity.tunnel.options import tunnel_options
from restate_identity.tunnel.resolver import SrvResolver
from restate_identity.tunnel.settings import TunnelSettings
from tests.tunnel.echoing import echo
from tests.tunnel.name_server import RECORD


async def main() -> None:
    told = json.loads(os.environ["ENGINE"])
    timings = TunnelTimings(grace=told["grace"], resolve_every=0.1)
    if not told["nameserver"]:
        await serve_tunnel(echo, servers=told["servers"], timings=timings)
        return
    # The public call asks the system's name servers only.
    source = SrvResolver(RECORD, name_server=("127.0.0.1", told["nameserver"]))
    tls = ssl.create_default_context(cadata=told["authority"])
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with open_tunnel(
        echo, tunnel_options(os.environ, TunnelSettings()), timings=timings, source=source, tls=tls
    ) as tunnel:
        await stopping.wait()
        await tunnel.aclose()
        await tunnel.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
