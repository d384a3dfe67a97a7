"""Verify the headers, path and time of a request. This module and `tokens` hold the whole policy of this library.

Whether a token is authentic depends only on the token and the keys, so that part is cached; time and path are checked
on every call. `functools.lru_cache` does not cache exceptions, so refused tokens take no place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from restate_identity._headers import SCHEME, SCHEME_HEADER, TOKEN_HEADER
from restate_identity._quoting import quoted
from restate_identity.errors import InvalidKeyError, Reason, VerificationError
from restate_identity.identity import Identity
from restate_identity.keys import PublicKey
from restate_identity.paths import NO_PATH, is_signed_form, mismatch
from restate_identity.tokens import TokenAuthenticator

_NAME_LENGTHS = (len(SCHEME_HEADER), len(TOKEN_HEADER))
# Longer than any scheme, and shorter than any token.
_MAX_QUOTED_SCHEME = 16
MAX_TOKEN_SIZE = 16 * 1024
# Longer tokens, which have long object keys, are not cached, so that the number of entries bounds the memory.
MAX_CACHED_TOKEN_SIZE = 1024

Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""All headers of a request, names in any case: a mapping, or pairs as in ASGI."""


class CacheInfo(NamedTuple):
    """Statistics of the cache of verified tokens since the keys were last replaced."""

    hits: int
    """Lookups that found the token: no cryptography was needed."""
    misses: int
    """Lookups that did not; the token was then checked in full, and possibly refused."""
    maxsize: int
    """The maximum number of tokens in the cache."""
    currsize: int
    """The current number of tokens in the cache."""


_Judged = tuple[Identity, float, float, str | None, bytes | None]
"""A token's identity; from when and until before when it is valid, with the leeway; and the exact path that it matches,
decoded and raw, or None if it matches none."""


class _Trust(NamedTuple):
    """The keys together with the cache of tokens verified under them, so that both are replaced in one step."""

    keys: tuple[PublicKey, ...]
    judge: Callable[[str], _Judged]
    judge_cached: Callable[[str], _Judged]
    cache_info: Callable[[], tuple[int, int, int, int]]


class IdentityVerifier:
    """Proves that one of *keys* signed a request for its path, and that the token is valid now.

    Thread-safe; one verifier serves a whole process.

    Args:
        keys: The identity keys of your Restate, ``publickeyv1_…`` or `PublicKey`. At least one.
        leeway: Seconds of clock skew to allow beyond the token's own window (60 s before and after signing by default).
        max_token_age: If given, also refuse tokens that were issued more than this many seconds ago; more than 0.
        cache_size: How many verified tokens to cache, about 1 KiB each; 0 caches none. Tokens of more than 1 KiB, which
            have long object keys, are not cached.
        clock: Returns the time in Unix seconds.

    Raises:
        InvalidKeyError: One of the keys cannot be used. The message says which.
        ValueError: There is no key, or an option is out of range.
        TypeError: *keys* is a single string, or *clock* is not a function.
    """

    def __init__(
        self,
        keys: Iterable[str | PublicKey],
        *,
        leeway: float = 0.0,
        max_token_age: float | None = None,
        cache_size: int = 4096,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._leeway = _seconds("leeway", leeway)
        self._max_token_age = None if max_token_age is None else _seconds("max_token_age", max_token_age)
        if self._max_token_age == 0:
            raise ValueError("max_token_age is more than 0 seconds: with 0, a token would be too old on arrival")
        if type(cache_size) is not int or not 0 <= cache_size < 2**31:
            raise ValueError(f"cache_size is a number of tokens, 0 or more, not {cache_size!r}")
        self._cache_size = cache_size
        if not callable(clock):
            raise TypeError(f"clock is a function that returns Unix seconds, not {clock!r}")
        self._clock = clock
        self._trust = self._trust_in(keys)

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys in force."""
        return self._trust.keys

    def replace_keys(self, keys: Iterable[str | PublicKey]) -> None:
        """Trust only *keys* from now on, and forget all tokens that were verified under the old keys. Atomic.

        Raises:
            InvalidKeyError, ValueError, TypeError: As for the constructor; then the old keys stay in force.
        """
        self._trust = self._trust_in(keys)

    def cache_info(self) -> CacheInfo:
        """Return the statistics of the cache of verified tokens."""
        return CacheInfo(*self._trust.cache_info())

    def verify(
        self,
        path: str | None,
        headers: Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]],
        *,
        raw_path: bytes | None = None,
    ) -> Identity:
        """Verify a request by its *headers*.

        Args:
            path: The decoded path that the application routes on, without the query; None if it cannot be read.
            headers: All headers of the request, names in any case.
            raw_path: The path as it stands in the request line, with or without the query, if the server passes it on.
                Pass it if the application may use it too: a path that can be read in two ways is refused.

        Raises:
            VerificationError: The request must be refused. No other exception is raised, whatever the request contains.
        """
        scheme, token = signature_headers(headers)
        return self.verify_signature(path, scheme, token, raw_path=raw_path)

    def verify_signature(
        self, path: str | None, scheme: str | None, token: str | None, *, raw_path: bytes | None = None
    ) -> Identity:
        """Verify a request by the values of its two headers, as found by an adapter.

        Args:
            path: The decoded path that the application routes on, without the query; None if it cannot be read.
            scheme: The value of ``x-restate-signature-scheme``, or None if it is absent.
            token: The value of ``x-restate-jwt-v1``, or None if it is absent.
                For a repeated header, pass all values joined by commas (RFC 9110, 5.3); the request is then refused.
            raw_path: As for `verify`.

        Raises:
            VerificationError: The request must be refused. No other exception is raised, whatever the request contains.
        """
        if scheme != SCHEME or not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN_SIZE:
            raise _header_refusal(scheme, token, path)
        trust = self._trust
        judge = trust.judge_cached if len(token) <= MAX_CACHED_TOKEN_SIZE else trust.judge
        identity, valid_from, valid_until, exact_path, exact_raw_path = judge(token)
        now = self._clock()
        if not valid_from <= now < valid_until:
            raise _window_refusal(identity, now)
        if self._max_token_age is not None and not now - identity.issued_at <= self._max_token_age:
            raise VerificationError(
                Reason.TOO_OLD,
                f"the token was issued {now - identity.issued_at:.0f} s ago, at most {self._max_token_age:g} s allowed",
                kid=identity.key,
            )
        # The usual case, without a prefix: a path that equals the audience is plain, because the audience is.
        if exact_path is None or path != exact_path or (raw_path is not None and raw_path != exact_raw_path):
            problem = mismatch(identity.audience, path, raw_path)
            if problem is not None:
                raise VerificationError(Reason.WRONG_AUDIENCE, problem, kid=identity.key)
        return identity

    def _trust_in(self, keys: Iterable[str | PublicKey]) -> _Trust:
        sound = _sound_keys(keys)
        judge = _judge_of(TokenAuthenticator(sound), self._leeway)
        cached = lru_cache(maxsize=self._cache_size)(judge)
        return _Trust(sound, judge, cached, cached.cache_info)  # type: ignore[arg-type]  # maxsize is never None


def _judge_of(authenticator: TokenAuthenticator, leeway: float) -> Callable[[str], _Judged]:
    """Return a pure function that computes everything about a token that does not depend on path and time."""

    def judge(token: str) -> _Judged:
        # Checked here and not with the headers, to save time: a cached token has no comma.
        if "," in token:
            raise _repeated(TOKEN_HEADER)
        identity = authenticator.authenticate(token)
        _, audience, _, _, not_before, expires_at = identity
        # An audience of another form matches no path at all, not even an equal one.
        exact_path, exact_raw_path = (audience, audience.encode()) if is_signed_form(audience) else (None, None)
        return identity, not_before - leeway, expires_at + leeway, exact_path, exact_raw_path

    return judge


def signature_headers(headers: Headers) -> tuple[str | None, str | None]:
    """Return the values of the two headers, scheme and token, for `IdentityVerifier.verify_signature`.

    A value is None if the header is absent, or if *headers* cannot be read. Repeated values are joined by commas.
    """
    schemes: list[str] = []
    tokens: list[str] = []
    try:
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            # The length alone rules out most names.
            if len(name) in _NAME_LENGTHS:
                lower_name = _text(name).lower()
                if lower_name == TOKEN_HEADER:
                    tokens.append(_text(value))
                elif lower_name == SCHEME_HEADER:
                    schemes.append(_text(value))
        return _combined(schemes), _combined(tokens)
    except (AttributeError, TypeError, ValueError):
        return None, None


def _text(part: str | bytes) -> str:
    # Latin-1 decodes every byte, so that odd bytes are refused with their own reason, not with a decoding error.
    return part.decode("latin-1") if isinstance(part, bytes) else part


def _combined(values: list[str]) -> str | None:
    return ", ".join(values) if values else None


def _header_refusal(scheme: object, token: object, path: object) -> VerificationError:
    if not scheme:
        return VerificationError(Reason.MISSING_SCHEME, _about_missing_scheme(scheme, path))
    is_scheme_repeated = isinstance(scheme, str) and "," in scheme
    if scheme == "unsigned":
        return VerificationError(
            Reason.UNSIGNED, "the Restate server has no request identity key: configure one, so that it signs"
        )
    if scheme != SCHEME and not is_scheme_repeated:
        # If the two values were mixed up, this is the token, so do not quote it.
        is_long = isinstance(scheme, str) and len(scheme) > _MAX_QUOTED_SCHEME
        told = f"has {len(str(scheme))} characters" if is_long else f"is {quoted(scheme)}"
        return VerificationError(
            Reason.UNSUPPORTED_SCHEME, f"the signature scheme {told}; this version knows {SCHEME!r} only"
        )
    if token is None or token == "":
        return VerificationError(Reason.MISSING_TOKEN, f"{_missing(TOKEN_HEADER, token)}: a proxy may have dropped it")
    if not isinstance(token, str):
        return VerificationError(Reason.MALFORMED_TOKEN, f"the token is not text but {quoted(token)}")
    if is_scheme_repeated or "," in token:
        return _repeated(SCHEME_HEADER if is_scheme_repeated else TOKEN_HEADER)
    return VerificationError(
        Reason.OVERSIZED_TOKEN,
        f"the token has {len(token)} characters, at most {MAX_TOKEN_SIZE} are read: "
        "the key of the virtual object is too long",
    )


def _about_missing_scheme(scheme: object, path: object) -> str:
    if path is None:
        return f"there is no {SCHEME_HEADER} header, and {NO_PATH}"
    missing = _missing(SCHEME_HEADER, scheme)
    causes = "not from Restate, or from a server without a request identity key, or a proxy dropped the header"
    exact = ". Exempt paths are exact, and this one ends with '/'" if str(path)[1:].endswith("/") else ""
    return f"{missing}: {causes}{exact}"


def _missing(header: str, value: object) -> str:
    return f"there is no {header} header" if value is None else f"the {header} header is empty"


def _repeated(header: str) -> VerificationError:
    return VerificationError(
        Reason.REPEATED_HEADER, f"the header {header} has more than one value, but Restate sends only one"
    )


def _window_refusal(identity: Identity, now: float) -> VerificationError:
    if now < identity.not_before:
        return VerificationError(
            Reason.NOT_YET_VALID,
            f"the token becomes valid in {identity.not_before - now:.0f} s: "
            "compare the clocks of this machine and of the Restate server",
            kid=identity.key,
        )
    return VerificationError(
        Reason.EXPIRED,
        f"the token expired {now - identity.expires_at:.0f} s ago: it was replayed, or a buffering proxy held it back, "
        "or the clocks of this machine and of the Restate server differ",
        kid=identity.key,
    )


def _sound_keys(keys: Iterable[str | PublicKey]) -> tuple[PublicKey, ...]:
    if isinstance(keys, (str, bytes, PublicKey)):
        raise TypeError("keys is a list of identity keys: put the single key into one, [key]")
    sound: dict[PublicKey, None] = {}
    for position, key in enumerate(keys or (), start=1):
        try:
            sound[key if isinstance(key, PublicKey) else PublicKey.parse(key)] = None
        except InvalidKeyError as error:
            raise InvalidKeyError(f"identity key {position}: {error}") from None
    if not sound:
        raise ValueError(
            "there is no identity key: verification is never switched off by an empty list. "
            "Pass the publickeyv1_... that your Restate server prints at start-up"
        )
    return tuple(sound)


def _seconds(option: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**53:
        raise ValueError(f"{option} is a number of seconds, 0 or more, not {value!r}")
    return float(value)
