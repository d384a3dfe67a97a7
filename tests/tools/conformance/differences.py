"""The known differences between this project and the official SDKs. Any other difference is a surprise.

Each difference is recognised in the request itself, read as laxly as possible, and not from a verifier's verdict.
"""

from __future__ import annotations

import binascii
import json
import string
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature

from tests.support.base64url import from_base64url
from tests.tools.conformance.judges import Request, openssl_key
from tests.vectors.ed25519 import NEUTRAL

SCHEME_HEADER = "x-restate-signature-scheme"
TOKEN_HEADER = "x-restate-jwt-v1"


class Members(dict[str, Any]):
    """A JSON object, and whether it, or an object among its members, repeats a member."""

    repeated = False


class Reading(NamedTuple):
    """A request, taken apart."""

    request: Request
    token: str
    header: Members
    claims: Members
    claims_text: str | None
    signature: bytes


def read(request: Request) -> Reading:
    tokens = [value for name, value in request.headers if name.lower() == TOKEN_HEADER]
    token = tokens[0] if tokens else ""
    header, payload, signature, *_ = [*token.split("."), "", "", ""]
    return Reading(
        request, token, _object(_bytes(header)), _object(_bytes(payload)), _text(_bytes(payload)), _bytes(signature)
    )


def _bytes(part: str) -> bytes:
    try:
        return from_base64url(part)
    except (binascii.Error, ValueError):
        return b""


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _object(raw: bytes) -> Members:
    def members(pairs: list[tuple[str, Any]]) -> Members:
        found = Members(pairs)
        inside = (value.repeated for value in found.values() if isinstance(value, Members))
        found.repeated = len(found) < len(pairs) or any(inside)
        return found

    try:
        value = json.loads(raw.decode("utf-8", "surrogateescape"), object_pairs_hook=members, strict=False)
    except (ValueError, RecursionError):
        return Members()
    return value if isinstance(value, Members) else Members()


def _is_time(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_ordered(claims: Members) -> bool:
    times = [claims.get(name) for name in ("nbf", "iat", "exp")]
    numbers = [time for time in times if isinstance(time, (int, float))]
    return numbers == sorted(numbers)


def _brackets(token: str) -> int:
    header = _bytes(token.partition(".")[0])
    return header.count(b"[") + header.count(b"{")


def _is_repeated(request: Request) -> bool:
    names = [name.lower() for name, _ in request.headers]
    return any(names.count(name) > 1 for name in (SCHEME_HEADER, TOKEN_HEADER))


def _is_signed(it: Reading) -> bool:
    """Whether one of the configured keys signed it, as OpenSSL says."""
    signed = it.token.rpartition(".")[0].encode()
    for key in it.request.keys:
        with suppress(InvalidSignature, ValueError):
            openssl_key(key).verify(it.signature, signed)
            return True
    return False


def _has_odd_json(text: str | None) -> bool:
    """Not UTF-8, half a surrogate pair, a number beyond the floats, nested deeper than 32: in places the SDK skips."""
    if text is None:
        return True
    try:
        value = json.loads(text, strict=False)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        # Python 3.14 parses deeper than it calls.
        return _depth(value) > 32
    except (ValueError, RecursionError):
        return True


def _depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


_SEGMENT = set(string.ascii_letters + string.digits + "-._~!$&'()*,=:@")
_NAMES = set(string.ascii_letters + string.digits + "._-")


def _is_plain(path: str) -> bool:
    first, *segments = path.split("/")
    sound = all(segment not in ("", ".", "..") and _SEGMENT.issuperset(segment) for segment in segments)
    invoke = segments[-3] if len(segments) >= 3 else "invoke"
    return first == "" and sound and (invoke == "invoke" or invoke.lower() != "invoke")


def _is_called_by_a_server(path: str) -> bool:
    """Whether *path* ends in what a server asks for: discovery, or names that it registers."""
    *_, invoke, service, handler = ["", "", *path.split("/")]
    if invoke != "invoke":
        return handler == "discover"
    named = (
        name.lstrip("_")[:1].isalnum() and not name.startswith(("__", *string.digits)) for name in (service, handler)
    )
    return all(named) and _NAMES.issuperset(service) and (_NAMES - {".", "-"}).issuperset(handler)


class Difference(NamedTuple):
    """What the SDK accepts and this project refuses.

    Attributes:
        reason: The reason for which it is refused here.
        about: What the SDK does instead.
        applies: Whether a request has it.
    """

    reason: str
    about: str
    applies: Callable[[Reading], bool]


CRITICAL = {"crit", "b64", "jwk", "jku", "x5c", "x5u"}

REFUSED_HERE = (
    Difference("no_key", "without keys verification is silently off", lambda it: not it.request.keys),
    Difference(
        "invalid_key", "a key of small order is taken, and forged tokens pass", lambda it: bool(it.request.keys)
    ),
    Difference("repeated_header", "of a repeated header the first one wins", lambda it: _is_repeated(it.request)),
    Difference("oversized_token", "no limit of 16 KiB", lambda it: len(it.token) > 16 * 1024),
    Difference(
        "malformed_token",
        "a JOSE header of any size, and with any number of brackets in its texts",
        lambda it: len(it.token.partition(".")[0]) > 1024 or _brackets(it.token) > 32,
    ),
    Difference("malformed_token", "any typ that is text or null", lambda it: it.header.get("typ", "JWT") != "JWT"),
    Difference(
        "malformed_token",
        "jwk, jku, x5c, x5u or crit in the JOSE header, if they are of the right type",
        lambda it: bool(CRITICAL.intersection(it.header)),
    ),
    Difference(
        "unknown_key",
        "the kid is not needed: every key is tried",
        lambda it: it.header.get("kid") not in it.request.keys and _is_signed(it),
    ),
    Difference(
        "bad_signature",
        "the kid is not needed: a token that names one configured key may be signed by another",
        lambda it: len(set(it.request.keys)) > 1 and _is_signed(it),
    ),
    Difference(
        "bad_signature",
        "R may be the neutral element (only the holder of the private key can make it, and gives the key away)",
        lambda it: it.signature[:32] == NEUTRAL.encoded(),
    ),
    Difference(
        "expired",
        "exp is the last second of a token's life, not the first after it",
        lambda it: it.claims.get("exp") == int(it.request.time),
    ),
    Difference("malformed_claims", "aud may be an array", lambda it: isinstance(it.claims.get("aud"), list)),
    Difference(
        "malformed_claims",
        "sub may be anything",
        lambda it: "sub" in it.claims and not isinstance(it.claims["sub"], str),
    ),
    Difference(
        "malformed_claims",
        "times may be fractions or beyond 2**53, and iat may be anything or absent",
        lambda it: not all(_is_time(it.claims.get(name)) for name in ("nbf", "iat", "exp")),
    ),
    Difference("malformed_claims", "nbf <= iat <= exp need not hold", lambda it: not _is_ordered(it.claims)),
    Difference("malformed_claims", "claims that the SDK does not read may be repeated", lambda it: it.claims.repeated),
    Difference(
        "malformed_claims",
        "claims that the SDK does not read may be no UTF-8, or no characters, no numbers, or nested without end",
        lambda it: _has_odd_json(it.claims_text),
    ),
    Difference(
        "wrong_audience",
        "a path may have more than one meaning",
        lambda it: not _is_plain(it.request.path) or len(it.request.path) > 16 * 1024,
    ),
    Difference(
        "wrong_audience",
        "a path may be one that no server calls",
        lambda it: not _is_called_by_a_server(it.request.path),
    ),
)


class Leniency(NamedTuple):
    """What this project accepts and the SDK refuses."""

    about: str
    applies: Callable[[Reading], bool]


STANDARD = {"typ", "alg", "kid", "cty", "x5t", "x5t#S256", *CRITICAL}

REFUSED_THERE = (
    Leniency(
        "a member of the JOSE header whose name is unknown and whose value is not text",
        lambda it: any(name not in STANDARD and not isinstance(value, str) for name, value in it.header.items()),
    ),
)


def explained(request: Request, reason: str | None) -> str | None:
    """Return the known difference that makes this project say *reason* and the SDK the opposite; None if none does."""
    reading = read(request)
    if reason is None:
        return next((entry.about for entry in REFUSED_THERE if entry.applies(reading)), None)
    return next((entry.about for entry in REFUSED_HERE if entry.reason == reason and entry.applies(reading)), None)
