"""Authenticate a compact JWS and return its claims: a pure function of the token and the keys, without path or time.

Parsing is strict, so that a token means the same here and everywhere else: one encoding, one value for every member.
Unknown members are ignored, so that a newer server still works. Members that change how a token is read are refused.

Sources: RFC 7515 (compact JWS), RFC 7519 (claims), RFC 8037 (EdDSA), RFC 8725 (best current practices), and the
tokens of a real Restate server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeGuard

from restate_identity import _base64url
from restate_identity._quoting import quoted
from restate_identity._strict_json import MAX_DEPTH, json_object
from restate_identity.errors import Reason, VerificationError
from restate_identity.identity import Identity
from restate_identity.keys import MAX_TEXT_LENGTH, PREFIX, PublicKey

# Members of a JOSE header that supply a key or change how the token is read (RFC 7515, RFC 7797).
FORBIDDEN_MEMBERS = frozenset({"crit", "b64", "jwk", "jku", "x5c", "x5u"})
# A server's JOSE header has 150 characters. It is parsed before anything is proven, so its size is limited, and so is
# the number of its brackets, because Python's JSON parser can exhaust a thread's stack.
MAX_HEADER_SIZE = 1024
# Every JSON implementation reads integers up to this one alike (RFC 8259, 6), and they fit into a float.
MAX_TIME = 2**53 - 1


class TokenAuthenticator:
    """Authenticates tokens against the trusted keys.

    Args:
        keys: Valid keys, without repetitions.
    """

    __slots__ = ("_by_header", "_by_kid", "_configured")

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._by_kid = {str(key): key for key in keys}
        # A server writes the same JOSE header for every token of a key, so its bytes are recognised without parsing.
        self._by_header = {_server_header(kid): (kid, key) for kid, key in self._by_kid.items()}
        named, more = list(self._by_kid)[:3], len(self._by_kid) - 3
        self._configured = ", ".join(named) + (f" and {more} more" if more > 0 else "")

    def authenticate(self, token: str) -> Identity:
        """Return the claims of *token* if one of the keys signed it. Path and time are not checked here.

        Raises:
            VerificationError: ``malformed_token``, ``unsupported_algorithm``, ``unknown_key``, ``bad_signature`` or
                ``malformed_claims``, in this order. Cryptography runs only for the last two.
        """
        try:
            signed, signature_part = token.encode("ascii").rsplit(b".", 1)
            header_part, payload_part = signed.split(b".", 1)
        except ValueError:
            raise _malformed("it is not three parts of ASCII joined by dots") from None
        payload = _decoded(payload_part)
        signature = _decoded(signature_part)
        kid, key = self._by_header.get(header_part) or self._key_named_in(header_part)
        if not key.verify(signed, signature):
            raise VerificationError(
                Reason.BAD_SIGNATURE, f"{kid} did not sign this token: it was changed on its way, or forged", kid=kid
            )
        return _identity(kid, payload)

    def _key_named_in(self, header_part: bytes) -> tuple[str, PublicKey]:
        if len(header_part) > MAX_HEADER_SIZE:
            raise _malformed(f"its JOSE header has {len(header_part)} characters, at most {MAX_HEADER_SIZE} are read")
        if header_part[:7].lower() == b"bearer ":
            raise _malformed(
                "'Bearer' stands before it; Restate sends the token alone, so a gateway changed the header"
            )
        header = _decoded(header_part)
        if header.count(b"[") + header.count(b"{") > MAX_DEPTH:
            raise _malformed("its JOSE header is nested too deeply")
        try:
            members = json_object(header.decode("utf-8"))
        except UnicodeDecodeError:
            raise _malformed("its JOSE header is not UTF-8") from None
        except ValueError as error:
            raise _malformed(f"its JOSE header is not JSON as the server writes it ({error})") from None
        forbidden = FORBIDDEN_MEMBERS.intersection(members)
        if forbidden:
            raise _malformed(f"its JOSE header has {', '.join(sorted(forbidden))}, which Restate never sends")
        if members.get("typ", "JWT") != "JWT":
            raise _malformed(f"its typ is {quoted(members['typ'])}, not 'JWT'")
        if members.get("alg") != "EdDSA":
            raise VerificationError(
                Reason.UNSUPPORTED_ALGORITHM, f"alg is {quoted(members.get('alg'))}; Restate signs with 'EdDSA' only"
            )
        kid = members.get("kid")
        if kid is None:
            raise VerificationError(
                Reason.UNKNOWN_KEY, "the token names no key, in a member 'kid', so no Restate server signed it"
            )
        if not isinstance(kid, str) or kid not in self._by_kid:
            raise VerificationError(
                Reason.UNKNOWN_KEY,
                f"signed with the key {quoted(kid)}, which is not configured here ({self._configured}): "
                "another environment's Restate, or a key that was rotated",
                kid=kid if _names_a_key(kid) else None,
            )
        return kid, self._by_kid[kid]


def _names_a_key(kid: object) -> TypeGuard[str]:
    return (
        isinstance(kid, str)
        and len(kid) <= MAX_TEXT_LENGTH
        and kid.startswith(PREFIX)
        and kid.isascii()
        and kid[len(PREFIX) :].isalnum()
    )


def _server_header(kid: str) -> bytes:
    header = f'{{"typ":"JWT","alg":"EdDSA","kid":"{kid}"}}'
    return _base64url.encoded(header.encode())


def _malformed(problem: str) -> VerificationError:
    return VerificationError(Reason.MALFORMED_TOKEN, f"the token is not one that a Restate server makes: {problem}")


def _decoded(part: bytes) -> bytes:
    try:
        return _base64url.decoded(part)
    except ValueError:
        raise _malformed("it is not three parts of canonical base64url without padding") from None


# --- the claims (RFC 7519, 4.1)


# The claims as the server writes them: in its order, without white space or escapes. Matching this subset of JSON gives
# the same result as parsing, in a third of the time. Each text and each number can match in only one way, so the time
# is linear.
_TEXT, _SECONDS = r'[^"\\\x00-\x1f]*', "0|[1-9][0-9]{0,14}"
_SERVER_CLAIMS = re.compile(
    f'{{"aud":"({_TEXT})","exp":({_SECONDS}),"iat":({_SECONDS}),"nbf":({_SECONDS})(?:,"sub":"({_TEXT})")?}}'
)


def _identity(kid: str, payload: bytes) -> Identity:
    try:
        text = payload.decode("utf-8")
        claims = _SERVER_CLAIMS.fullmatch(text)
        if claims is None:
            audience, expires_at, issued_at, not_before, subject = _parsed_claims(text)
        else:
            audience, exp, iat, nbf, subject = claims.groups()
            expires_at, issued_at, not_before = int(exp), int(iat), int(nbf)
        if not not_before <= issued_at <= expires_at:
            raise ValueError("nbf <= iat <= exp does not hold")
    except ValueError as error:
        problem = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise VerificationError(
            Reason.MALFORMED_CLAIMS, f"the key is right, but the claims are not Restate's: {problem}", kid=kid
        ) from None
    # The constructor of a NamedTuple is a Python function, and would take 1 % of the whole verification.
    return tuple.__new__(Identity, (kid, audience, subject, issued_at, not_before, expires_at))


def _parsed_claims(text: str) -> tuple[str, int, int, int, str | None]:
    """Return the claims; raise a ValueError that says what is wrong with them."""
    try:
        claims = json_object(text)
    except ValueError as error:
        raise ValueError(f"not JSON as the server writes it ({error})") from None
    audience = claims.get("aud")
    if not isinstance(audience, str):
        raise ValueError("aud is not a string")
    subject = claims.get("sub")
    if not isinstance(subject, str) and "sub" in claims:
        raise ValueError("sub is not a string")
    return audience, _time(claims, "exp"), _time(claims, "iat"), _time(claims, "nbf"), subject


def _time(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    # isinstance() would accept a bool as an int.
    if type(value) is not int or not 0 <= value <= MAX_TIME:
        raise ValueError(f"{name} is not a time in whole seconds")
    return value
