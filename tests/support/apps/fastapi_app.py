"""A FastAPI application whose one endpoint depends on the identity."""

from typing import Annotated

from fastapi import Depends, FastAPI, Response

from restate_identity import Identity
from restate_identity.fastapi import RequestIdentity
from tests.support.apps.answer import EXEMPT, KEYS, answer

app = FastAPI(openapi_url=None)
signed = RequestIdentity(identity_keys=KEYS, exempt_paths=EXEMPT)


@app.api_route("/{path:path}", methods=["GET", "POST"])
def endpoint(identity: Annotated[Identity | None, Depends(signed)]) -> Response:
    return Response(answer(identity), media_type="application/json")
