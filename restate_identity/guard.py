"""What every adapter does alike, once: which verifier, which paths are exempt, the log line of a refusal, the 401, and
setting `current_identity()`. An adapter only translates between this and its framework.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextvars import Token
from types import TracebackType

from restate_identity.errors import VerificationError, quoted
from restate_identity.identity import Identity, identity_context
from restate_identity.keys import PublicKey
from restate_identity.verifier import IdentityVerifier

logger = logging.getLogger("restate_identity")

# What a refused caller sees, the same for every reason: an attacker learns nothing, the operator reads the log.
# RFC 9110, 15.5.2 wants a challenge with every 401.
REFUSAL_STATUS = 401
REFUSAL_BODY = b'{"error":"unauthorized"}'
REFUSAL_HEADERS = (
    ("content-type", "application/json"),
    ("content-length", str(len(REFUSAL_BODY))),
    ("www-authenticate", "RestateRequestIdentity"),
)


class RequestGuard:
    """Decides, for one adapter, which requests reach the application.

    Args:
        identity_keys: The keys to trust, for a verifier with default options.
        verifier: Or a verifier made elsewhere. Exactly one of the two.
        exempt_paths: Paths that are served to anybody: exact decoded paths, or a function that returns True for them.
            Anything but True, a truthy value too, is "not exempt".

    Raises:
        InvalidKeyError, ValueError, TypeError: The configuration is incomplete or ambiguous; says what to pass.
    """

    def __init__(
        self,
        *,
        identity_keys: Iterable[str | PublicKey] | None = None,
        verifier: IdentityVerifier | None = None,
        exempt_paths: Iterable[str] | Callable[[str], bool] = (),
    ) -> None:
        self.verifier = _verifier(identity_keys, verifier)
        self._is_exempt = _exemption(exempt_paths)

    def admit(self, path: str, scheme: str | None, token: str | None) -> Identity | None:
        """Return the identity of a genuine request, or None if *path* is exempt; log a refusal and raise it.

        Args:
            path: The decoded path that the application routes on.
            scheme, token: The values of the two headers, as for `IdentityVerifier.verify_signature`.

        Raises:
            VerificationError: Answer with `REFUSAL_STATUS`, `REFUSAL_HEADERS` and `REFUSAL_BODY`; neither read the body
                nor call the application.
        """
        if self._is_exempt is not None and isinstance(path, str) and self._is_exempt(path) is True:
            return None
        try:
            return self.verifier.verify_signature(path, scheme, token)
        except VerificationError as error:
            logger.warning("refused a request to %s: %s", quoted(path, limit=200), error)
            raise


class serving:
    """Make *identity* the `current_identity()` for the time of a ``with`` block.

    An exempt request has none, and is shown none: whatever the thread served before is hidden.
    """

    __slots__ = ("_identity", "_token")

    def __init__(self, identity: Identity | None) -> None:
        self._identity = identity

    def __enter__(self) -> None:
        self._token: Token[Identity | None] = identity_context.set(self._identity)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            identity_context.reset(self._token)
        except ValueError:
            # A generator that is closed from another context, as by a garbage collector, left nothing there.
            pass


def _verifier(identity_keys: Iterable[str | PublicKey] | None, verifier: IdentityVerifier | None) -> IdentityVerifier:
    if verifier is not None and identity_keys is not None:
        raise TypeError("pass identity_keys or verifier, not both: it would not be clear which keys are in force")
    if verifier is not None:
        if not isinstance(verifier, IdentityVerifier):
            raise TypeError(f"verifier is an IdentityVerifier, not a {type(verifier).__name__}")
        return verifier
    if identity_keys is None:
        raise ValueError("no identity key is configured: pass identity_keys=['publickeyv1_...'] or verifier=...")
    return IdentityVerifier(identity_keys)


def _exemption(exempt_paths: Iterable[str] | Callable[[str], bool]) -> Callable[[str], bool] | None:
    if callable(exempt_paths):
        return exempt_paths
    if isinstance(exempt_paths, str):
        raise TypeError(f"exempt_paths is a list of paths: put the single path into one, [{exempt_paths!r}]")
    paths = frozenset(exempt_paths)
    for path in paths:
        if not isinstance(path, str) or not path.startswith("/"):
            raise ValueError(f"an exempt path is exact and begins with '/', {path!r} does not")
    return paths.__contains__ if paths else None
