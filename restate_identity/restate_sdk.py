"""`restate.app`, guarded: change one import, and the identity keys are checked by this library instead of by the SDK.

Needs the extra ``restate``. The SDK's application is built without keys and stands behind the ASGI middleware, or,
where it is a Lambda handler, behind the Lambda guard.

Restate signs the key of the virtual object or workflow, but the SDK runs the one that the body names. So both are
compared before a handler runs.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, NoReturn, cast

from restate_identity._quoting import quoted
from restate_identity._refusal_log import RefusalLog
from restate_identity.asgi import RequestIdentityMiddleware
from restate_identity.aws_lambda import require_request_identity
from restate_identity.errors import Reason, VerificationError
from restate_identity.identity import Identity, current_identity
from restate_identity.keys import PublicKey
from restate_identity.telemetry import Observer
from restate_identity.verifier import IdentityVerifier

try:
    import restate
    from restate.aws_lambda import is_running_on_lambda
    from restate.exceptions import RetryableError
    from restate.extensions import current_context
    from restate.handler import Handler
    from restate.server_types import RestateAppT
except ImportError as _error:
    raise ImportError(
        "restate_sdk needs the Restate SDK: pip install 'restate-identity[restate]'", name=_error.name
    ) from _error

__all__ = ["app", "is_health_check"]

Component = restate.Service | restate.VirtualObject | restate.Workflow


def app(
    services: Iterable[Component],
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

    A handler of a virtual object or a workflow runs only if the key that it would run for is the one that was signed.
    If not, nothing of it runs, the log says why, and the invocation fails in a way that Restate retries.

    Args:
        services: The services, virtual objects and workflows to serve.
        protocol: As for `restate.app`.
        identity_keys: The keys to trust, ``publickeyv1_…``. An empty list is a mistake.
        verifier: Or a verifier with options of your own. With neither of the two, the keys come from the environment
            (`restate_identity.keyring.verifier_from_environment`).
        observer: Is told of every request that is judged, see `restate_identity.telemetry`.
        sdk_options: Further options of `restate.app`, passed on.

    Raises:
        InvalidKeyError, ValueError, TypeError: The configuration is incomplete or ambiguous; says what to pass.
    """
    key_check = _KeyCheck()
    sdk_app = restate.app([key_check.on(service) for service in services], protocol, **sdk_options)
    guard = require_request_identity if is_running_on_lambda() else RequestIdentityMiddleware
    return guard(
        sdk_app, identity_keys=identity_keys, verifier=verifier, exempt_paths=is_health_check, observer=observer
    )


def is_health_check(path: str) -> bool:
    """Return whether the SDK answers *path* as a health check, before it would verify anything.

    Not by its last segment alone: ``/invoke/<service>/health`` calls a handler with that name.

    Source: ``restate.server.parse_path`` of the SDK; the two are compared in ``tests/adapters/test_restate_sdk.py``.
    """
    segments = path.rsplit("/", 4)
    is_invocation = len(segments) >= 3 and segments[-3] == "invoke"
    return segments[-1] == "health" and not is_invocation


class _KeyCheck:
    """Compares, before each handler of an application, the key that was signed with the one that it would run for."""

    def __init__(self) -> None:
        self._log = RefusalLog()

    def on(self, component: Component) -> Component:
        """Return *component* with the check in front of its handlers. Services have no keys, and stay as they are."""
        if isinstance(component, restate.Service):
            return component
        # A copy: the same object may be served elsewhere too.
        checked = copy.copy(component)
        checked.handlers = _CheckedHandlers(component.handlers, self._same_key)  # type: ignore[assignment]
        return checked

    @asynccontextmanager
    async def _same_key(self) -> AsyncIterator[None]:
        identity = current_identity()
        key = cast(restate.ObjectSharedContext, current_context()).key()
        if identity is None or identity.subject != key:
            self._refuse(identity, key)
        yield

    def _refuse(self, identity: Identity | None, key: str) -> NoReturn:
        subject = None if identity is None else identity.subject
        signed = "no object" if subject is None else f"the object {quoted(subject)}"
        body = f"the body is for the object {quoted(key)}"
        hint = f"signed for {signed}, but {body}: the token was taken from another request"
        error = VerificationError(Reason.WRONG_AUDIENCE, hint, kid=identity and identity.key)
        self._log.refused(identity and identity.audience, error)
        # If this should ever happen to a genuine invocation, it must not be lost.
        raise RetryableError("the request was signed for another object: see the log of the service")


class _CheckedHandlers(Mapping[str, Handler[Any, Any]]):
    """The handlers of a component, those that are added later too, each with *check* before all else."""

    def __init__(self, handlers: Mapping[str, Handler[Any, Any]], check: Callable[[], Any]) -> None:
        self._handlers = handlers
        self._check = check

    def __getitem__(self, name: str) -> Handler[Any, Any]:
        handler = self._handlers[name]
        return dataclasses.replace(handler, context_managers=[self._check, *(handler.context_managers or ())])

    def __iter__(self) -> Iterator[str]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)
