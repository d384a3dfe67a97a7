"""Everything that the adapters share: choose the verifier, exempt paths, log and observe the outcome, the 401, and
`current_identity()`. An adapter only translates between this module and its framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import Token
from time import perf_counter
from types import TracebackType
from typing import NoReturn

from restate_identity._quoting import quoted
from restate_identity._refusal_log import RefusalLog
from restate_identity.errors import Reason, VerificationError
from restate_identity.identity import Identity, identity_context
from restate_identity.keys import PublicKey
from restate_identity.paths import is_call, is_rewritten, oddity, signed_path
from restate_identity.telemetry import Observer
from restate_identity.verifier import IdentityVerifier

__all__ = ["REFUSAL_BODY", "REFUSAL_HEADERS", "REFUSAL_STATUS", "RequestGuard", "serving"]

# Every refused caller gets the same answer, so that an attacker learns nothing. The operator finds the reason in the
# log. RFC 9110, 15.5.2 requires a challenge with every 401.
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
        identity_keys: The keys to trust, for a verifier with default options. An empty list is an error.
        verifier: Or a verifier made elsewhere. Without keys and verifier, the keys come from the environment
            (`verifier_from_environment`).
        exempt_paths: Paths that are served to anybody: exact decoded paths, or a function that returns True for them.
            Any other result, even a truthy one, means "not exempt". A path with more than one meaning is never exempt,
            nor is one that was sent as another path. A function exempts no path that ends as Restate's calls do, in
            ``/discover`` or ``/invoke/<service>/<handler>``: if anybody may call such a path, put it into a list.
        observer: Receives the outcome of every verified request.

    Raises:
        InvalidKeyError, ValueError, TypeError: The configuration is incomplete or ambiguous. The message says what to
            pass.
    """

    def __init__(
        self,
        *,
        identity_keys: Iterable[str | PublicKey] | None = None,
        verifier: IdentityVerifier | None = None,
        exempt_paths: Iterable[str] | Callable[[str], bool] = (),
        observer: Observer | None = None,
    ) -> None:
        self.verifier: IdentityVerifier = _verifier(identity_keys, verifier)
        self._is_exempt = _exemption(exempt_paths)
        self._observer = _sound_observer(observer)
        watch = getattr(observer, "watch", None)
        if watch is not None:
            watch(self.verifier)
        self._log = RefusalLog()

    def admit(
        self,
        path: str | None,
        scheme: str | None,
        token: str | None,
        raw_path: bytes | None = None,
        inner_path: str | None = None,
    ) -> Identity | None:
        """Return the identity of a genuine request, or None if *path* is exempt; log a refusal and raise it.

        Args:
            path: The decoded path of the request; None if it has none that can be read. Such a request is refused.
            scheme, token: The values of the two headers, as for `IdentityVerifier.verify_signature`.
            raw_path: The path as it stands in the request line, with or without the query; None if it is not known.
            inner_path: The end of *path* on which the application routes, if the application is mounted under the rest.
                The caller may be able to choose where this end begins. So it must itself end in the signed path; on an
                exempt *path*, it must be exempt too.

        Raises:
            VerificationError: Answer with `REFUSAL_STATUS`, `REFUSAL_HEADERS` and `REFUSAL_BODY`; do not keep the
                body, and do not call the application.
        """
        observer = self._observer
        started = 0.0 if observer is None else perf_counter()
        try:
            if self._is_exempt is not None and self._exempts(path, raw_path, inner_path):
                return None
            identity = self.verifier.verify_signature(path, scheme, token, raw_path=raw_path)
            if inner_path is not None and (inner_path[:1] != "/" or signed_path(inner_path) != identity.audience):
                raise _wrong_mount_point(identity, inner_path)
        except VerificationError as error:
            self._note_refusal(error, path, started)
            raise
        if observer is not None:
            self._tell(observer.accepted, identity, path, started)
        return identity

    def refuse(self, path: str | None, scheme: str | None, token: str | None, problem: str) -> NoReturn:
        """Refuse a request whose path the adapter cannot accept, whatever its token; log it and raise.

        The reason is the one that `admit` would give. If nothing is wrong with the token, it is `WRONG_AUDIENCE`, and
        the hint is *problem*.

        Args:
            path: What the log shows; None if there is nothing to show.
            scheme, token: As for `admit`.
            problem: What is wrong with the path, safe to log.

        Raises:
            VerificationError: Always.
        """
        started = perf_counter()
        refusal = VerificationError(Reason.WRONG_AUDIENCE, problem)
        try:
            # Restate calls no such path, so all that is wrong with a good token is this path.
            self.verifier.verify_signature("/", scheme, token)
        except VerificationError as error:
            wrong_path = error.reason is Reason.WRONG_AUDIENCE
            refusal = VerificationError(Reason.WRONG_AUDIENCE, problem, kid=error.kid) if wrong_path else error
        self._note_refusal(refusal, path, started)
        raise refusal

    def _note_refusal(self, error: VerificationError, path: str | None, started: float) -> None:
        self._log.refused(path, error)
        if self._observer is not None:
            self._tell(self._observer.refused, error, path, started)

    def _exempts(self, path: str | None, raw_path: bytes | None, inner_path: str | None) -> bool:
        assert self._is_exempt is not None
        if not isinstance(path, str) or not self._is_exempt(path):
            return False
        odd = oddity(path, raw_path)
        if odd is None and is_rewritten(path, raw_path):
            odd = "was sent as another path"
        if odd is not None:
            problem = f"{odd}, which servers and frameworks do not all read alike: ask for the plain path"
        # Some applications put the "/" back that a mount point took: a function that looks for "/admin" would miss it.
        elif inner_path is not None and not self._exempts_inner(inner_path):
            problem = f"the application is mounted and routes on {quoted(inner_path)}, which is not: exempt both"
        else:
            return True
        raise VerificationError(Reason.WRONG_AUDIENCE, f"the path {quoted(path)} is exempt, but {problem}")

    def _exempts_inner(self, inner_path: str) -> bool:
        assert self._is_exempt is not None
        # Of nothing, some applications make "/".
        return inner_path[:1] in ("", "/") and self._is_exempt(inner_path) and self._is_exempt(inner_path or "/")

    def _tell(
        self, method: Callable[..., None], outcome: Identity | VerificationError, path: str | None, started: float
    ) -> None:
        try:
            method(outcome, path=path if isinstance(path, str) else "", seconds=perf_counter() - started)
        except Exception as failure:  # noqa: BLE001 (an observer changes nothing for the request)
            self._log.observer_failed(failure)


def _wrong_mount_point(identity: Identity, inner_path: str) -> VerificationError:
    return VerificationError(
        Reason.WRONG_AUDIENCE,
        f"signed for {quoted(identity.audience)}, but the application is mounted so that it routes on "
        f"{quoted(inner_path)}: let its mount point, root_path or SCRIPT_NAME, end before /invoke and /discover",
        kid=identity.key,
    )


class serving:
    """Make *identity* the `current_identity()` inside a ``with`` block.

    None, for an exempt request, hides the identity of any earlier request on the same thread.
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
            # The generator was closed from another context, as by the garbage collector: there is nothing to reset.
            pass


def steps(iterable: Iterable[bytes], identity: Identity | None) -> Iterator[bytes]:
    """Iterate over *iterable*; `current_identity()` is *identity* during each step, but not between the steps."""
    with serving(identity):
        iterator = iter(iterable)
    while True:
        with serving(identity):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def _verifier(identity_keys: Iterable[str | PublicKey] | None, verifier: IdentityVerifier | None) -> IdentityVerifier:
    if verifier is not None and identity_keys is not None:
        raise TypeError("pass identity_keys or verifier, not both: it would not be clear which keys are in force")
    if verifier is not None:
        if not isinstance(verifier, IdentityVerifier):
            raise TypeError(f"verifier is an IdentityVerifier, not a {type(verifier).__name__}")
        return verifier
    # An empty list is an error: it never means "look into the environment".
    if identity_keys is not None:
        return IdentityVerifier(identity_keys)
    # Imported on first use: the modules for reading files take a tenth of the import time of this library.
    from restate_identity.keyring import verifier_from_environment

    return verifier_from_environment()


def _sound_observer(observer: Observer | None) -> Observer | None:
    if observer is None:
        return None
    methods = (getattr(observer, name, None) for name in ("accepted", "refused"))
    if isinstance(observer, type) or not all(map(callable, methods)):
        described = f"the class {observer.__name__}" if isinstance(observer, type) else f"a {type(observer).__name__}"
        raise TypeError(f"observer is an object with the methods accepted and refused, not {described}")
    return observer


def _exemption(exempt_paths: Iterable[str] | Callable[[str], bool]) -> Callable[[str], bool] | None:
    if callable(exempt_paths):
        _check_function(exempt_paths)
        return lambda path: exempt_paths(path) is True and not is_call(path)
    if isinstance(exempt_paths, str):
        raise TypeError(f"exempt_paths is a list of paths: put the single path into one, [{exempt_paths!r}]")
    if not isinstance(exempt_paths, Iterable):
        raise TypeError(f"exempt_paths is a list of paths, or a function, not {exempt_paths!r}: leave it out for none")
    paths = frozenset(exempt_paths)
    for path in paths:
        odd = oddity(path)
        if odd is None and ("/*" in path or "*/" in f"{path}/"):
            raise ValueError(f"the exempt path {path!r} has a '*', which is no wildcard here: pass a function instead")
        if odd is not None:
            raise ValueError(
                f"the exempt path {path!r} {odd}, and would never be exempt: an exempt path is exact, and has only "
                "letters, digits and -._~ between single slashes, such as '/health'"
            )
    return paths.__contains__ if paths else None


def _check_function(function: Callable[[str], bool]) -> None:
    # Imported on first use: it takes a third of the import time of this library.
    import inspect

    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise TypeError(
            "the function exempt_paths is a coroutine function, which is not awaited and never returns True"
        )
    try:
        signature = inspect.signature(function)
    except ValueError:
        # Some functions written in C have no signature.
        return
    try:
        signature.bind("/")
    except TypeError:
        raise TypeError(
            f"the function exempt_paths is called with one argument, the path; this one takes {signature}"
        ) from None
