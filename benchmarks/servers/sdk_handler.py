"""A service of the Python SDK without identity keys, whose handler runs after the whole request has arrived.

Restate keeps a request open until it has the answer; the load generator, over HTTP/1.1, cannot. And some proxies break
off the response of a service that answers before it has read the request.
"""

from __future__ import annotations

from typing import Any

import restate

from benchmarks.servers.apps import Receive, Scope, Send

greeter = restate.Service("Greeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:  # noqa: ARG001
    return f"Hello {name}!"


_service: Any = restate.app([greeter])


async def handler(scope: Scope, receive: Receive, send: Send) -> None:
    """Pass the request on to the SDK when it has arrived."""
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())
    arrived = iter(messages)

    async def replay() -> Scope:
        return next(arrived, None) or await receive()

    await _service(scope, replay, send)
