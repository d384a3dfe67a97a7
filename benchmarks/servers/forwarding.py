"""Forward to a service over a connection that this process dials, as the stand-alone client does: `… CLOUD TARGET`.

Prints the resident memory of this process when its connection serves.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys

from benchmarks.flood import resident
from restate_identity.tunnel.client import AllowList, ClientSettings, run
from restate_identity.tunnel.client.client import TunnelClient
from restate_identity.tunnel.options import tunnel_options
from restate_identity.tunnel.settings import TunnelSettings


class Report:
    """Prints the memory as soon as the tunnel serves."""

    async def start(self, client: TunnelClient) -> None:
        self._task = asyncio.ensure_future(self._report(client))

    async def drain(self, within: float) -> None:  # noqa: ARG002 (the interface of a companion)
        self._task.cancel()

    async def _report(self, client: TunnelClient) -> None:
        while not client.tunnel.is_serving:  # noqa: ASYNC110 (this is not timed)
            await asyncio.sleep(0.01)
        gc.collect()
        print(json.dumps({"rss": resident()}), flush=True)


async def main(cloud: int, target: str) -> None:
    """Forward until this process ends."""
    options = tunnel_options(
        {},
        TunnelSettings(
            tunnel_name="benchmark",
            environment_id="env_benchmark",
            signing_public_key=os.environ["BENCHMARK_IDENTITY_KEY"],
            auth_token="token",
            servers=[f"http://127.0.0.1:{cloud}"],
        ),
    )
    await run(ClientSettings(options=options, targets=AllowList.parse([target])), [Report()])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
