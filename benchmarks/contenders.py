"""The contenders: this project, the SDK's native verifier, Python's JWT libraries, and two bare signature checks.

Each contender gets what its caller already has, prepared before the clock starts: the native verifier gets the header
bytes that the SDK decodes, a JWT library the token, a bare check the decoded signature. Before timing, each proves that
it does the work, see `prove`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.signed import KeyPair, SignedRequest, raw_signature, with_signature_changed
from restate_identity import CacheInfo, IdentityVerifier, PublicKey
from tests.support.base64url import base64url

SEEN = "this project: verify_signature"
VERIFY = "this project: verify, all headers"
NATIVE = "Python SDK, native verifier"
PYJWT = "PyJWT"
JOSERFC = "joserfc"
AUTHLIB = "Authlib"
LIBSODIUM = "libsodium, bare signature check"
OPENSSL = "OpenSSL, bare signature check"

ALL = frozenset({"time", "audience"})
NOTHING = frozenset[str]()
PATH = "/invoke/Counter/add"


class ContenderError(Exception):
    """A contender does not do the work that is to be timed."""


class Contender(NamedTuple):
    """One way to check a request."""

    name: str
    prepare: Callable[[SignedRequest], tuple[Any, ...]]
    """Turns a request into the arguments of *check*, untimed."""
    check: Callable[..., object]
    """Returns if the request is genuine, raises if it is not."""
    judges: frozenset[str] = ALL
    """What it checks besides the signature; the bare checks check nothing else."""
    forget: Callable[[], object] = lambda: None
    """Empties its cache, if it has one."""
    counted: Callable[[], CacheInfo | None] = lambda: None
    """Hits and misses since `forget`, if it has a cache that counts them."""

    def arguments(self, requests: Sequence[SignedRequest]) -> list[tuple[Any, ...]]:
        """Return the arguments of *check* for each of *requests*."""
        return [self.prepare(request) for request in requests]


def prove(contender: Contender, pair: KeyPair) -> None:
    """Check that *contender* accepts a token signed by *pair* and refuses others; raise ContenderError if not.

    The contender trusts *pair*.
    """
    genuine = pair.request(PATH, subject="proof")
    forgeries = {
        "whose signature was changed": genuine._replace(token=with_signature_changed(genuine.token)),
        "that another key signed": genuine._replace(token=KeyPair().token(PATH, subject="proof")),
    }
    if "time" in contender.judges:
        forgeries["that has expired"] = pair.request(PATH, subject="proof", now=1_700_000_000, leeway=60)
    if "audience" in contender.judges:
        forgeries["for another handler"] = pair.request("/invoke/Counter/reset", subject="proof")._replace(path=PATH)
    # Check twice, because the second answer may come from a cache.
    for _ in range(2):
        try:
            contender.check(*contender.prepare(genuine))
        except Exception as error:
            raise ContenderError(f"{contender.name} refuses a genuine token: {error!r}") from error
    for what, forgery in forgeries.items():
        if _accepts(contender, _consistent(forgery)):
            raise ContenderError(f"{contender.name} accepts a token {what}, so its time is not compared")
    contender.forget()


def python_contenders(pair: KeyPair, keys: Sequence[PublicKey] | None = None) -> list[Contender]:
    """Return every contender of this process, each proven; they trust *keys*, and *pair* is one of them."""
    keys = list(keys or [pair.public])
    contenders = [
        ours(keys),
        ours_with_headers(keys),
        native(keys),
        _pyjwt(pair.public),
        _joserfc(pair.public),
        _authlib(pair.public),
        libsodium(pair.public),
        _openssl(pair.public),
    ]
    for contender in contenders:
        prove(contender, pair)
    return contenders


def ours(keys: Sequence[PublicKey], name: str = SEEN, **options: Any) -> Contender:
    """Return this project, called like from an adapter: with path, scheme and token."""
    verifier = IdentityVerifier(keys, **options)
    return Contender(
        name,
        # Make a new string, as in every request: a string that was looked up before has its hash stored.
        lambda request: (request.path, "v1", request.token.encode().decode()),
        verifier.verify_signature,
        forget=lambda: verifier.replace_keys(verifier.keys),
        counted=verifier.cache_info,
    )


def ours_with_headers(keys: Sequence[PublicKey]) -> Contender:
    """Return this project, called with all headers of the request, as bytes."""
    verifier = IdentityVerifier(keys)
    return Contender(
        VERIFY,
        lambda request: (request.path, request.headers),
        verifier.verify,
        forget=lambda: verifier.replace_keys(verifier.keys),
        counted=verifier.cache_info,
    )


def native(keys: Sequence[PublicKey]) -> Contender:
    """Return the Rust verifier of the Python SDK, together with the SDK's decoding of the headers."""
    from restate._internal import PyIdentityVerifier  # type: ignore[import-not-found]  # compiled, without stubs
    from restate.server_types import binary_to_header

    verify = PyIdentityVerifier([str(key) for key in keys]).verify

    def check(path: str, headers: list[tuple[bytes, bytes]]) -> None:
        verify(binary_to_header(headers), path)

    return Contender(NATIVE, lambda request: (request.path, request.headers), check)


def libsodium(key: PublicKey) -> Contender:
    """Return the lower bound: this project's signature check, with nothing around it."""
    from nacl.bindings import crypto_sign_open

    raw = key.raw
    return Contender(
        LIBSODIUM, lambda request: (b"".join(raw_signature(request.token)), raw), crypto_sign_open, NOTHING
    )


def _openssl(key: PublicKey) -> Contender:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    verify = Ed25519PublicKey.from_public_bytes(key.raw).verify
    return Contender(OPENSSL, lambda request: raw_signature(request.token), verify, NOTHING)


def _pyjwt(key: PublicKey) -> Contender:
    import jwt
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public_key = Ed25519PublicKey.from_public_bytes(key.raw)

    def check(path: str, token: str) -> None:
        jwt.decode(token, public_key, algorithms=["EdDSA"], audience=path, options={"require": ["exp", "nbf", "aud"]})

    return Contender(PYJWT, lambda request: (request.path, request.token), check)


def _joserfc(key: PublicKey) -> Contender:
    from joserfc import jwt
    from joserfc.jwk import OKPKey

    # It warns at every call that the name EdDSA is deprecated. Users with Restate's tokens silence that.
    warnings.filterwarnings("ignore", message="EdDSA is deprecated")
    public_key = OKPKey.import_key(_jwk(key))

    def check(path: str, token: str) -> None:
        decoded = jwt.decode(token, public_key, algorithms=["EdDSA"])
        jwt.JWTClaimsRegistry(
            aud={"essential": True, "value": path}, exp={"essential": True}, nbf={"essential": True}
        ).validate(decoded.claims)

    return Contender(JOSERFC, lambda request: (request.path, request.token), check)


def _authlib(key: PublicKey) -> Contender:
    # Importing it always warns that joserfc is its successor, despite any filter.
    with warnings.catch_warnings(record=True):
        from authlib.jose import JsonWebToken, OKPKey  # type: ignore[import-untyped]

    public_key = OKPKey.import_key(_jwk(key))
    decode = JsonWebToken(["EdDSA"]).decode

    def check(path: str, token: str) -> None:
        options = {"aud": {"essential": True, "value": path}, "exp": {"essential": True}, "nbf": {"essential": True}}
        decode(token, public_key, claims_options=options).validate()

    return Contender(AUTHLIB, lambda request: (request.path, request.token), check)


def _jwk(key: PublicKey) -> dict[str, str | list[str]]:
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.raw)}


def _accepts(contender: Contender, request: SignedRequest) -> bool:
    try:
        contender.check(*contender.prepare(request))
    except Exception:  # noqa: BLE001 (each peer has exceptions of its own)
        return False
    return True


def _consistent(request: SignedRequest) -> SignedRequest:
    """Copy the token of *request* into its headers."""
    token = request.token.encode()
    return request._replace(
        headers=[(name, token if name == b"x-restate-jwt-v1" else value) for name, value in request.headers]
    )
