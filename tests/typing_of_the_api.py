# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""What type checkers understand of the public API. Nothing runs it: mypy and pyright read it in ``make check``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

import restate_identity.asgi
import restate_identity.fastapi
import restate_identity.wsgi
from restate_identity import (
    CacheInfo,
    Identity,
    IdentityError,
    IdentityVerifier,
    InvalidKeyError,
    PublicKey,
    Reason,
    VerificationError,
    current_identity,
    signed_path,
)
from restate_identity.aws_lambda import require_request_identity
from restate_identity.keyring import KeyFile, verifier_from_environment
from restate_identity.signing import RequestSigner, SignedRequestAuth
from restate_identity.telemetry import Observer, OpenTelemetryObserver, PrometheusObserver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

key = PublicKey.parse("publickeyv1_...")
assert_type(key, PublicKey)
assert_type(key.raw, bytes)
assert_type(key.verify(b"", b""), bool)
assert_type(signed_path("/invoke/a/b"), str)
assert_type(current_identity(), Identity | None)

verifier = IdentityVerifier([str(key), key], leeway=1.5, max_token_age=None, cache_size=0, clock=lambda: 0.0)
assert_type(verifier.keys, tuple[PublicKey, ...])
assert_type(verifier.cache_info(), CacheInfo)
assert_type(verifier.cache_info().hits, int)
assert_type(verifier.verify("/", {"x-restate-jwt-v1": ""}), Identity)
assert_type(verifier.verify("/", [(b"x-restate-jwt-v1", b"")]), Identity)
assert_type(verifier.verify_signature("/", "v1", None), Identity)
IdentityVerifier([1])  # type: ignore[list-item]
verifier.verify_signature(b"/", "v1", None)  # type: ignore[arg-type]

identity = verifier.verify("/", {})
assert_type(identity.subject, str | None)
assert_type(identity.expires_at, int)
identity.subject = "another"  # type: ignore[misc]

try:
    verifier.verify("/", {})
except VerificationError as refusal:
    assert_type(refusal.reason, Reason)
    assert_type(refusal.hint, str)
    assert_type(refusal.kid, str | None)
    as_any_error_of_ours: IdentityError = refusal
except InvalidKeyError as invalid:
    as_a_value_error: ValueError = invalid


async def asgi_app(_scope: Any, _receive: Any, _send: Any) -> None: ...


def wsgi_app(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
    return []


restate_identity.asgi.RequestIdentityMiddleware(asgi_app, identity_keys=[key], exempt_paths=lambda path: path == "/")
restate_identity.wsgi.RequestIdentityMiddleware(wsgi_app, verifier=verifier, exempt_paths=["/health"])
restate_identity.asgi.RequestIdentityMiddleware(wsgi_app)  # type: ignore[arg-type]
restate_identity.wsgi.RequestIdentityMiddleware(asgi_app)  # type: ignore[arg-type]
restate_identity.fastapi.RequestIdentity(identity_keys=[key])


@require_request_identity
def bare(_event: dict[str, str], _context: object) -> int:
    return 0


@require_request_identity(identity_keys=[key])
def with_keys(_event: dict[str, str], _context: object) -> int:
    return 0


# The decorator keeps the handler's own signature.
assert_type(bare({}, None), int)
assert_type(with_keys({}, None), int)
bare("event", None)  # type: ignore[arg-type]

file = KeyFile("keys.txt", 5)
assert_type(file.keys, tuple[PublicKey, ...])
assert_type(file.verifier(), IdentityVerifier)
assert_type(verifier_from_environment(), IdentityVerifier)

signer = RequestSigner.generate()
assert_type(signer.public_key, PublicKey)
assert_type(signer.to_pem(), bytes)
assert_type(signer.headers("/", subject="key"), dict[str, str])
auth: Callable[[Any], Any] = SignedRequestAuth(signer)

observers: list[Observer] = [OpenTelemetryObserver(), PrometheusObserver()]
restate_identity.asgi.RequestIdentityMiddleware(asgi_app, observer=object())  # type: ignore[arg-type]
