"""`restate.app`, guarded: change one import, and the identity keys are checked by this library instead of by the SDK.

Needs the extra ``restate``. The SDK's application is built without keys and stands behind the ASGI middleware, or,
where it is a Lambda handler, behind the Lambda guard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from restate_identity.asgi import RequestIdentityMiddleware
from restate_identity.aws_lambda import require_request_identity
from restate_identity.keys import PublicKey
from restate_identity.telemetry import Observer
from restate_identity.verifier import IdentityVerifier

try:
    import restate
    from restate.aws_lambda import is_running_on_lambda
    from restate.server_types import RestateAppT
except ImportError as _error:
    raise ImportError(
        "restate_sdk needs the Restate SDK: pip install 'restate-identity[restate]'", name=_error.name
    ) from _error


def app(
    services: Iterable[restate.Service | restate.VirtualObject | restate.Workflow],
    protocol: Literal["bidi", "request_response"] | None = None,
    identity_keys: Iterable[str | PublicKey] | None = None,
    *,
    verifier: IdentityVerifier | None = None,
    observer: Observer | None = None,
    **sdk_options: Any,
) -> RestateAppT:
    """Return what `restate.app` returns, for your own Restate only.

    That is an ASGI application, or on AWS Lambda a handler. The path ``…/health`` stays open, as with the SDK.
    `current_identity()` works in the handlers.

    Args:
        services: The services, virtual objects and workflows to serve.
        protocol: As for `restate.app`.
        identity_keys: The keys to trust, ``publickeyv1_…``. None, without a *verifier*, means what it means to the SDK:
            request identity is not configured, anybody is served, whatever the environment says. An empty list is a
            mistake.
        verifier: Or a verifier with options of your own, `restate_identity.keyring.verifier_from_environment()` if the
            environment is to decide.
        observer: Is told of every request that is judged, see `restate_identity.telemetry`.
        sdk_options: Further options of `restate.app`, passed on.

    Raises:
        InvalidKeyError, ValueError, TypeError: The configuration is incomplete or ambiguous; says what to pass.
    """
    sdk_app = restate.app(services, protocol, **sdk_options)
    if identity_keys is None and verifier is None:
        return sdk_app
    guard = require_request_identity if is_running_on_lambda() else RequestIdentityMiddleware
    return guard(
        sdk_app, identity_keys=identity_keys, verifier=verifier, exempt_paths=is_health_check, observer=observer
    )


def is_health_check(path: str) -> bool:
    """Return whether the SDK answers *path* as a health check, before it would verify anything.

    Not by its last segment alone: ``/invoke/<service>/health`` calls a handler with that name.

    Source: ``restate.server.parse_path`` of the SDK; the two are compared in ``tests/test_restate_sdk.py``.
    """
    segments = path.rsplit("/", 4)
    is_invocation = len(segments) >= 3 and segments[-3] == "invoke"
    return segments[-1] == "health" and not is_invocation
