"""A plain WSGI application behind the WSGI middleware."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from restate_identity.wsgi import RequestIdentityMiddleware
from tests.support.apps.answer import EXEMPT, KEYS, answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def inner(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("content-type", "application/json")])
    if environ["QUERY_STRING"] == "file":
        file = tempfile.TemporaryFile()  # noqa: SIM115 (the server closes it)
        file.write(answer(environ.get("restate_identity")))
        file.seek(0)
        response: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return response
    return (answer(environ.get("restate_identity")) for _ in range(1))


app = RequestIdentityMiddleware(inner, identity_keys=KEYS, exempt_paths=EXEMPT)
