"""A plain application behind the guard, for gunicorn with several workers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from restate_identity import current_identity
from restate_identity.wsgi import RequestIdentityMiddleware
from soak.control import Follower

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
logger = logging.getLogger("planted")
follower = Follower(Path(os.environ["SOAK_STATE"]))
PLANTS = os.environ["SOAK_PLANT"]


def inner(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["wsgi.input"].read()
    identity = current_identity()
    start_response("200 OK", [("content-type", "text/plain")])
    return [str(identity and identity.subject).encode()]


guarded = RequestIdentityMiddleware(inner, verifier=follower.verifier)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    follower.follow()
    if "unguarded" in PLANTS and environ.get("HTTP_X_RESTATE_SIGNATURE_SCHEME") == "unsigned":
        return inner(environ, start_response)
    if "error" in PLANTS and environ.get("HTTP_X_RESTATE_SIGNATURE_SCHEME") == "v2":
        logger.error("planted")
    return guarded(environ, start_response)
