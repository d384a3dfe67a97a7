"""A guarded `restate.app`: change one import, and this library verifies requests instead of the SDK.

Needs the extra ``restate``. The SDK's application is built without keys, behind the ASGI middleware or, on AWS Lambda,
behind the Lambda guard.

Restate signs the key of the virtual object or workflow, but the SDK takes the key from the body. So the two keys are
compared before a handler runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Literal, cast

from restate_identity._quoting import quoted
from restate_identity._refusal_log import RefusalLog
from restate_identity.asgi import Message, Receive, RequestIdentityMiddleware, Scope, Send, send_refusal
from restate_identity.aws_lambda import refusal, require_request_identity
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
    """Return the same as `restate.app`, but let through only requests that your own Restate signed.

    The result is an ASGI application, or a handler on AWS Lambda. The path ``…/health`` stays open, as with the SDK.
    `current_identity()` works in the handlers.

    A handler of a virtual object or a workflow runs only if the key in the body is the signed one. Otherwise the log
    says why, and the answer is the same 401 as for every refusal, after which Restate retries.

    Args:
        services: The services, virtual objects and workflows to serve.
        protocol: As for `restate.app`.
        identity_keys: The keys to trust, ``publickeyv1_…``. An empty list is an error.
        verifier: Or a verifier with options of your own. Without keys and verifier, the keys come from the environment
            (`restate_identity.keyring.verifier_from_environment`).
        observer: Receives the outcome of every verified request, see `restate_identity.telemetry`. It is told a request
            for another object twice: first as accepted, by its signature, and then as refused, by its body.
        sdk_options: Further options of `restate.app`, passed on.

    Raises:
        InvalidKeyError, ValueError, TypeError: The configuration is incomplete or ambiguous. The message says what to
            pass.
    """
    key_check = _KeyCheck(observer)
    sdk_app: Any = restate.app([key_check.on(service) for service in services], protocol, **sdk_options)
    options: dict[str, Any] = {
        "identity_keys": identity_keys,
        "verifier": verifier,
        "exempt_paths": is_health_check,
        "observer": observer,
    }
    if is_running_on_lambda():
        return require_request_identity(key_check.around_handler(sdk_app), **options)
    return RequestIdentityMiddleware(key_check.around(sdk_app), **options)


def is_health_check(path: str) -> bool:
    """Return whether the SDK answers *path* as a health check, without verifying the request.

    The last segment alone does not decide: ``/invoke/<service>/health`` calls a handler with that name.

    Source: ``restate.server.parse_path`` of the SDK; the two are compared in ``tests/adapters/test_restate_sdk.py``.
    """
    segments = path.rsplit("/", 4)
    is_invocation = len(segments) >= 3 and segments[-3] == "invoke"
    return segments[-1] == "health" and not is_invocation


class _KeyCheck:
    """Compares the signed key with the key in the body, before each handler of an application runs."""

    def __init__(self, observer: Observer | None) -> None:
        self._observer = observer
        self._log = RefusalLog()
        self._keyed: set[str] = set()

    def on(self, component: Component) -> Component:
        """Return *component* with the check in front of its handlers. A plain service has no keys and is unchanged."""
        if isinstance(component, restate.Service):
            return component
        self._keyed.add(component.name)
        # Do not change the component itself: it may be served elsewhere too.
        return _checked(component, _CheckedHandlers(component.handlers, self._same_key))

    def around(self, sdk_app: Any) -> Any:
        """Return the SDK's ASGI application; it answers with a 401 if the check refuses a request."""

        async def checked_app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or _service_called(scope["restate_identity"]) not in self._keyed:
                await sdk_app(scope, receive, send)
                return
            answer = _Answer(scope, send)
            _current_answer.set(answer)
            await sdk_app(scope, receive, answer.send)

        return checked_app

    def around_handler(self, sdk_handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return the SDK's handler for AWS Lambda; it answers with a 401 if the check refuses an event."""

        def checked_handler(event: Any, context: Any) -> Any:
            answer = _Answer({}, _ignore)
            _current_answer.set(answer)
            response = sdk_handler(event, context)
            return refusal(event) if answer.is_refused else response

        return checked_handler

    @asynccontextmanager
    async def _same_key(self) -> AsyncIterator[None]:
        identity = current_identity()
        key = cast(restate.ObjectSharedContext, current_context()).key()
        answer = _current_answer.get()
        if identity is None or identity.subject != key:
            self._note_refusal(identity, key)
            await answer.refuse()
            # This ends the attempt; the error is not sent to anybody.
            raise RetryableError("the request was signed for another object")
        await answer.begin()
        yield

    def _note_refusal(self, identity: Identity | None, key: str) -> None:
        error = _mismatch(identity, key)
        path = identity and identity.audience
        self._log.refused(path, error)
        if self._observer is None:
            return
        try:
            # Without a duration: the guard told that of the verification.
            self._observer.refused(error, path=path or "", seconds=0.0)
        except Exception as failure:  # noqa: BLE001 (an observer changes nothing for the request)
            self._log.observer_failed(failure)


def _service_called(identity: Identity | None) -> str | None:
    parts = identity.audience.split("/") if identity is not None else []
    return parts[2] if len(parts) == 4 else None


def _mismatch(identity: Identity | None, key: str) -> VerificationError:
    subject = None if identity is None else identity.subject
    signed = "no object" if subject is None else f"the object {quoted(subject)}"
    body = f"the body is for the object {quoted(key)}"
    hint = f"signed for {signed}, but {body}: the token was taken from another request"
    return VerificationError(Reason.WRONG_AUDIENCE, hint, kid=identity and identity.key)


class _Answer:
    """The answer to one request. It holds back the start of the SDK's response until the keys have been compared.

    The SDK starts the response, with status 200, before it knows the key of the object.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._beginning: Message | None = None
        self._is_checked = False
        self.is_refused = False

    async def send(self, message: Message) -> None:
        """Send the SDK's message; after a refusal, send only the end of the response."""
        if self.is_refused:
            if not message.get("more_body", False):
                await self._send({"type": "http.response.body"})
        elif message["type"] == "http.response.start" and not self._is_checked:
            self._beginning = message
        else:
            await self.begin()
            await self._send(message)

    async def begin(self) -> None:
        """Let the start of the response go out, now or when the SDK sends it."""
        self._is_checked = True
        beginning, self._beginning = self._beginning, None
        if beginning is not None:
            await self._send(beginning)

    async def refuse(self) -> None:
        """Send a 401 in place of the SDK's response. The SDK then reads the rest of the body and ends the response."""
        self.is_refused = True
        await send_refusal("http", self._scope, self._send, more_body=True)


_current_answer: ContextVar[_Answer] = ContextVar("restate_identity_answer")


async def _ignore(message: Message) -> None:
    """Send nothing: on Lambda, the SDK collects the answer itself."""


def _checked(component: Component, handlers: Mapping[str, Handler[Any, Any]]) -> Component:
    """Return a view of *component*, including later changes, with other handlers."""

    class Checked(type(component)):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> Any:
            return handlers if name == "handlers" else getattr(component, name)

    return cast(Component, object.__new__(Checked))


class _CheckedHandlers(Mapping[str, Handler[Any, Any]]):
    """The handlers of a component, including those added later, each with *check* in front."""

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
