"""One service behind three guards, for requests that share a connection; each answers with the body that it received.

``middleware`` is the SDK's application behind the ASGI middleware, ``sdk`` the same behind the SDK's own verifier, and
``dependency`` a FastAPI application.
"""

from typing import Annotated

import restate
from fastapi import Depends, FastAPI, Request, Response

from restate_identity import Identity
from restate_identity.fastapi import RequestIdentity
from restate_identity.restate_sdk import app as guarded_app
from tests.support.apps.answer import KEYS

greeter = restate.Service("Greeter")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:  # noqa: ARG001
    return f"Hello {name}"


middleware = guarded_app([greeter], identity_keys=KEYS)
sdk = restate.app([greeter], identity_keys=KEYS)
dependency = FastAPI()


@dependency.post("/invoke/Greeter/greet")
async def endpoint(
    request: Request,
    identity: Annotated[Identity, Depends(RequestIdentity(identity_keys=KEYS))],  # noqa: ARG001
) -> Response:
    return Response(await request.body())
