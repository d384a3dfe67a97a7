"""A Restate service with no open port: it dials Restate Cloud, and is called over that connection."""

import asyncio
import logging
import os

import restate

from restate_identity.restate_sdk import app as restate_app
from restate_identity.tunnel import serve_tunnel

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
log = logging.getLogger("greeter")

greeter = restate.Service("TunnelGreeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    log.info("greeting %s", name)
    return f"Hello {name}!"


# The tunnel verifies every request, and this application that the object that runs is the signed one.
app = restate_app([greeter])

if __name__ == "__main__":
    servers = os.environ.get("TUNNEL_SERVERS")  # to try it without Restate Cloud
    port = int(os.environ.get("PORT", "9090"))
    asyncio.run(serve_tunnel(app, servers=servers.split() if servers else None, health_port=port))
