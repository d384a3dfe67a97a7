"""The options that all adapters share, given to each of them: that they reach the guard, which `test_guard` tries.

Django's are settings: `test_django`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import restate
from fastapi import Depends, FastAPI

from restate_identity import IdentityVerifier, InvalidKeyError, Reason
from restate_identity.asgi import RequestIdentityMiddleware as AsgiMiddleware
from restate_identity.aws_lambda import require_request_identity
from restate_identity.edge import EdgeApplication
from restate_identity.fastapi import RequestIdentity
from restate_identity.restate_sdk import app as restate_app
from restate_identity.signing import RequestSigner
from restate_identity.wsgi import RequestIdentityMiddleware as WsgiMiddleware
from tests.support.notes import Notes

PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()
KEYS = [str(SIGNER.public_key)]

Headers = Mapping[str, str]


def status_of(app: Any, headers: Headers) -> int:
    """Send a request to an ASGI application."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": PATH,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(app(scope, receive, send))
    status: int = sent[0]["status"]
    return status


async def answer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def call_asgi(headers: Headers, **options: Any) -> int:
    return status_of(AsgiMiddleware(answer, **options), headers)


def call_wsgi(headers: Headers, **options: Any) -> int:
    statuses = ["200"]
    app: Any = WsgiMiddleware(lambda _environ, _start: [], **options)
    variables = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    app({"REQUEST_METHOD": "GET", "PATH_INFO": PATH, **variables}, lambda status, _: statuses.append(status))
    return int(statuses[-1][:3])


def call_lambda(headers: Headers, **options: Any) -> int:
    handler: Any = require_request_identity(lambda _event, _context: {"statusCode": 200}, **options)
    status: int = handler({"path": PATH, "httpMethod": "POST", "headers": dict(headers)}, None)["statusCode"]
    return status


def call_fastapi(headers: Headers, **options: Any) -> int:
    app = FastAPI(dependencies=[Depends(RequestIdentity(**options))])
    app.get("/{path:path}")(lambda: None)
    return status_of(app, headers)


def call_restate(headers: Headers, **options: Any) -> int:
    # It has no such service.
    status = status_of(restate_app([restate.Service("Other")], **options), headers)
    return 200 if status == 404 else status


def call_edge(headers: Headers, **options: Any) -> int:
    return status_of(EdgeApplication(behind="nginx", **options), {"x-original-uri": PATH, **headers})


every_adapter = pytest.mark.parametrize(
    "call", [call_asgi, call_wsgi, call_lambda, call_fastapi, call_restate, call_edge]
)


@every_adapter
def test_an_observer_is_told_of_every_request(call: Callable[..., int]) -> None:
    notes = Notes()

    assert call(SIGNER.headers(PATH), identity_keys=KEYS, observer=notes) == 200
    assert call({}, identity_keys=KEYS, observer=notes) == 401

    [(identity, accepted_path, _)] = notes.accepted_requests
    [(error, refused_path, _)] = notes.refused_requests
    assert (accepted_path, identity.key) == (PATH, KEYS[0])
    assert (refused_path, error.reason) == (PATH, Reason.MISSING_SCHEME)


@every_adapter
def test_a_verifier_can_be_passed_instead_of_keys(call: Callable[..., int]) -> None:
    verifier = IdentityVerifier(KEYS, clock=lambda: 1_700_000_000)

    assert call(SIGNER.headers(PATH, now=1_700_000_000), verifier=verifier) == 200
    assert call(SIGNER.headers(PATH), verifier=verifier) == 401


@every_adapter
def test_without_keys_and_verifier_the_environment_decides(
    call: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTATE_IDENTITY_KEYS", KEYS[0])

    assert call(SIGNER.headers(PATH)) == 200
    assert call(RequestSigner.generate().headers(PATH)) == 401


@every_adapter
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "no identity key is configured: pass identity_keys="),
        ({"identity_keys": []}, ValueError, "never switched off"),
        ({"identity_keys": KEYS, "verifier": IdentityVerifier(KEYS)}, TypeError, "not both"),
        ({"identity_keys": [*KEYS, "publickeyv1_0"]}, InvalidKeyError, "identity key 2"),
        ({"verifier": KEYS}, TypeError, "IdentityVerifier"),
    ],
)
def test_a_configuration_that_is_incomplete_or_ambiguous_is_refused(
    call: Callable[..., int], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(SIGNER.headers(PATH), **options)
