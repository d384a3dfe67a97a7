"""A real Restate server calls services of the Go and the Java SDK without keys through the stand-alone tunnel client.

``make conformance-sdks`` runs this after the vectors. What is not installed is left out by name.
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

from restate_identity.tunnel.client import AllowList, ClientSettings, open_client
from restate_identity.tunnel.options import tunnel_options
from restate_identity.tunnel.settings import TunnelSettings
from tests.tools.conformance.sdks.without_keys import Caller, Service, calling, services
from tests.tunnel.dialling import TOKEN
from tests.tunnel.public import Public


async def checked(caller: Caller, service: Service) -> str:
    """Check *service* with a client that may forward to it and to nothing else."""
    async with Public(1) as public:
        tunnel = TunnelSettings(
            tunnel_name="greeter",
            environment_id="env_environment",
            signing_public_key=caller.signer.public_key,
            auth_token=TOKEN,
            servers=public.servers,
        )
        targets = AllowList.parse([f"http://127.0.0.1:{service.port}"])
        async with open_client(ClientSettings(options=tunnel_options({}, tunnel), targets=targets)) as client:
            await client.tunnel.ready()
            deployment = urlsplit(client.tunnel.deployment_url)
            assert deployment.port is not None
            seen = await asyncio.to_thread(caller.check, deployment.port, deployment.path.rstrip("/"))
            assert client.counters.failures == 0
            return seen


def main() -> int:
    with calling() as caller:
        for service in services():
            seen = asyncio.run(checked(caller, service))
            print(f"{service.label} without keys, behind the tunnel client: {seen}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
