"""The ASGI application that a reverse proxy asks about every request."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from restate_identity.asgi import Receive, Scope, Send, refuse
from restate_identity.edge import aliases
from restate_identity.edge.dialects import DIALECTS, reported_path
from restate_identity.edge.judged_path import checked_prefix, judged_path, problem_of
from restate_identity.errors import VerificationError
from restate_identity.guard import RequestGuard
from restate_identity.keys import PublicKey
from restate_identity.telemetry import Observer
from restate_identity.verifier import IdentityVerifier, signature_headers

KEY_HEADER = b"x-restate-identity-key"
SUBJECT_HEADER = b"x-restate-identity-subject"


class EdgeApplication:
    """Answer a reverse proxy's question whether your own Restate signed a request.

    The answer is a 200 with the identity in the headers ``x-restate-identity-key`` and, for an object or a workflow,
    ``x-restate-identity-subject`` (percent-encoded UTF-8); or the 401 of every guard. Anything but the proxy that can
    reach this application can ask it too, so let it listen on loopback or on a Unix socket.

    Args:
        behind: The proxy that asks: ``nginx``, ``caddy``, ``traefik``, ``envoy`` or ``haproxy``.
        prefix: What stands before ``/discover`` and ``/invoke/…`` in the path that the proxy reports.
        identity_keys: The keys to trust, ``publickeyv1_…``.
        verifier: Or a verifier with options of your own. Without keys and verifier, the keys come from the environment
            (`restate_identity.keyring.verifier_from_environment`).
        observer: Receives the outcome of every verified request, see `restate_identity.telemetry`.

    Raises:
        InvalidKeyError, ValueError, TypeError: The configuration is incomplete or ambiguous. The message says what to
            pass.
    """

    def __init__(
        self,
        *,
        behind: str,
        prefix: str = "",
        identity_keys: Iterable[str | PublicKey] | None = None,
        verifier: IdentityVerifier | None = None,
        observer: Observer | None = None,
    ) -> None:
        if behind not in DIALECTS:
            raise ValueError(f"behind is the proxy that asks, one of {', '.join(DIALECTS)}, not {behind!r}")
        self._behind = behind
        self._prefix = checked_prefix(prefix)
        self._guard = RequestGuard(identity_keys=identity_keys, verifier=verifier, observer=observer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one question."""
        if scope["type"] == "lifespan":
            raise NotImplementedError("there is nothing to start or to stop")
        if scope["type"] != "http":
            # A proxy may pass on what a client said of a WebSocket. Restate opens none.
            await refuse(scope, receive, send)
            return
        try:
            headers = self._verdict(scope)
        except VerificationError:
            await refuse(scope, receive, send)
            return
        # Envoy takes only a 200 for a yes.
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0"), *headers]})
        await send({"type": "http.response.body"})

    def _verdict(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Return the headers that hand the identity on, or raise."""
        headers = scope["headers"]
        scheme, token = signature_headers(headers)
        # A server that does not know the raw path gives None.
        target = b"?".join((scope.get("raw_path") or b"", scope["query_string"]))
        reported = reported_path(self._behind, target, headers)
        path = None if reported is None else judged_path(reported, self._prefix)
        if path is None:
            # A query may hold a secret, and is not logged.
            shown = None if reported is None else reported.partition("?")[0]
            self._guard.refuse(shown, scheme, token, problem_of(shown, self._prefix))
        if aliases.has_alias(headers):
            self._guard.refuse(path, scheme, token, aliases.PROBLEM)
        identity = self._guard.admit(path, scheme, token)
        assert identity is not None  # no path is exempt
        handed_on = [(KEY_HEADER, identity.key.encode())]
        if identity.subject is not None:
            handed_on.append((SUBJECT_HEADER, quote(identity.subject, safe="").encode()))
        return handed_on
