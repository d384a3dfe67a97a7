"""Pass requests on to an API on a port, with an API key, as the local ports of the tunnel client do: `… PORT`.

Prints the port to call.
"""

from __future__ import annotations

import asyncio
import sys

from restate_identity.tunnel.client.origins import Origin
from restate_identity.tunnel.client.proxies.callers import Callers
from restate_identity.tunnel.client.proxies.remote_proxies import Port, RemoteProxies
from restate_identity.tunnel.client.serve_address import ServeAddress
from restate_identity.tunnel.token import AuthToken


async def main(port: int) -> None:
    """Serve until this process ends."""
    api = Port(name="ingress", address=ServeAddress("127.0.0.1", 0), origin=Origin("http", "127.0.0.1", port))
    proxies = RemoteProxies((api,), AuthToken("token"), Callers(["cloud"]))
    await proxies.start()
    print(proxies.listeners[0].port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
