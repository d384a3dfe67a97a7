"""A Restate service with no open port: it dials Restate Cloud, and is called over that connection."""

import asyncio
import logging
import os

import restate

from restate_identity.tunnel import serve_tunnel

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
log = logging.getLogger("greeter")

greeter = restate.Service("TunnelGreeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    log.info("greeting %s", name)
    return f"Hello {name}!"


# The tunnel verifies every request.
app = restate.app([greeter])

if __name__ == "__main__":
    servers = os.environ.get("TUNNEL_SERVERS")  # to try it without Restate Cloud
    asyncio.run(serve_tunnel(app, servers=servers.split() if servers else None, health_port=int(os.environ["PORT"])))
