"""Our tunnel, until SIGTERM: what `serve_tunnel` does, with shorter times and a name server of the test's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl

from restate_identity.tunnel.handle import open_tunnel
from restate_identity.tunnel.options import tunnel_options
from restate_identity.tunnel.resolver import SrvResolver
from restate_identity.tunnel.timings import Timings
from tests.tunnel.echoing import echo
from tests.tunnel.name_server import RECORD


async def main() -> None:
    told = json.loads(os.environ["ENGINE"])
    servers = told["servers"] or None
    environ = {name: value for name, value in os.environ.items() if not (servers and name.endswith("_CLOUD_REGION"))}
    source = tls = None
    if told["nameserver"]:
        source = SrvResolver(RECORD, nameservers=["127.0.0.1"], port=told["nameserver"])
        tls = ssl.create_default_context(cadata=told["authority"])
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    options = tunnel_options(environ, servers=servers)
    timings = Timings(grace=told["grace"], resolve_every=0.1)
    async with open_tunnel(echo, options, timings=timings, source=source, tls=tls) as tunnel:
        closed = asyncio.ensure_future(tunnel.wait_closed())
        stop = asyncio.ensure_future(stopping.wait())
        await asyncio.wait({closed, stop}, return_when=asyncio.FIRST_COMPLETED)
        await tunnel.aclose()
        await closed


if __name__ == "__main__":
    asyncio.run(main())
