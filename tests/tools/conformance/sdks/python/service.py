"""The smallest service of the Python SDK that checks request identity: service.py PORT KEY."""

from __future__ import annotations

import sys

import restate
import uvicorn

greeter = restate.Service("Greeter")


@greeter.handler()
async def greet(_context: restate.Context, name: str) -> str:
    return name


if __name__ == "__main__":
    port, key = sys.argv[1:]
    app = restate.app([greeter], identity_keys=[key])
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", lifespan="off")
