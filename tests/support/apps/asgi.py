"""A plain ASGI application behind the ASGI middleware."""

from __future__ import annotations

from restate_identity.asgi import Receive, RequestIdentityMiddleware, Scope, Send
from tests.support.apps.answer import EXEMPT, KEYS, answer


async def inner(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer(scope.get("restate_identity"))})


app = RequestIdentityMiddleware(inner, identity_keys=KEYS, exempt_paths=EXEMPT)
