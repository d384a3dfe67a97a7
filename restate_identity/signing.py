"""Sign requests as a Restate server does, for development and tests. Needs the extra ``signing``.

It shares no code with `tokens`, so that each checks the other: this module signs with PyJWT and OpenSSL, and the core
verifies with its own parser and libsodium.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol, TypeVar

from restate_identity._headers import SCHEME, SCHEME_HEADER, TOKEN_HEADER
from restate_identity._regular_file import read_regular_file, shown_path
from restate_identity.errors import InvalidKeyError
from restate_identity.keys import PublicKey
from restate_identity.paths import signed_path

try:
    import jwt
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
    )
except ImportError as _error:
    raise ImportError(
        "signing needs PyJWT and cryptography: pip install 'restate-identity[signing]'", name=_error.name
    ) from _error

__all__ = ["DEFAULT_LEEWAY", "RequestSigner", "SignedRequestAuth"]

# Far larger than any PEM of a private key.
_MAX_PEM_SIZE = 64 * 1024
_SIGNATURE = (SCHEME_HEADER, TOKEN_HEADER)
DEFAULT_LEEWAY = 60
"""The default of a Restate server: a token is valid for this many seconds before and after signing."""


class RequestSigner:
    """Signs requests with an Ed25519 private key, byte for byte as a Restate server with the same key would.

    Make one with `generate` or `from_pem`.
    """

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public_key: PublicKey = PublicKey(private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def __repr__(self) -> str:
        return f"<RequestSigner {self.public_key}>"

    @classmethod
    def generate(cls) -> RequestSigner:
        """Return a signer with a new random key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: str | os.PathLike[str] | bytes) -> RequestSigner:
        """Read an unencrypted PKCS#8 PEM, as ``openssl genpkey -algorithm ed25519`` and `to_pem` write it.

        Args:
            pem: The path of a file, or the PEM itself as bytes (text is always a path).

        Raises:
            InvalidKeyError: The PEM is not exactly one unencrypted Ed25519 private key. The message never quotes it.
            OSError: The file cannot be read, or is not a regular file of at most 64 KiB.
        """
        name = "the PEM"
        if isinstance(pem, str) and "-----BEGIN" in pem:
            # Opening it as a path would put the whole PEM into the operating system's error.
            raise InvalidKeyError("this is a PEM as text, and text is taken for a path: pass it as bytes, pem.encode()")
        if not isinstance(pem, bytes):
            name = shown_path(pem)
            pem = read_regular_file(pem, limit=_MAX_PEM_SIZE).content
        blocks = pem.count(b"-----BEGIN ")
        if blocks == 0:
            raise InvalidKeyError(f"{name} has no line -----BEGIN PRIVATE KEY-----, so it is something else")
        if blocks != 1:
            raise InvalidKeyError(f"{name} must hold exactly one PEM block, a PKCS#8 Ed25519 private key")
        if b"-----BEGIN PUBLIC KEY-----" in pem:
            raise InvalidKeyError(f"{name} holds a public key, and signing needs the private key")
        try:
            private_key = load_pem_private_key(pem, password=None)
        except TypeError:
            raise InvalidKeyError(f"{name} is encrypted; a Restate server reads unencrypted keys only") from None
        except (ValueError, UnsupportedAlgorithm):
            raise InvalidKeyError(f"{name} is not a PKCS#8 private key in PEM form") from None
        if not isinstance(private_key, Ed25519PrivateKey):
            raise InvalidKeyError(f"{name} holds another kind of key; Restate signs with Ed25519 only")
        return cls(private_key)

    def to_pem(self) -> bytes:
        """Return the private key as an unencrypted PKCS#8 PEM, which the Restate server reads."""
        return self._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def token(
        self, path: str, *, subject: str | None = None, now: float | None = None, leeway: int = DEFAULT_LEEWAY
    ) -> str:
        """Return the compact JWS that a server would send with a request for *path* at the second *now*.

        Args:
            path: The request's path. The prefix of the deployment is left out of the token, as the server does.
            subject: The key of the virtual object or workflow, decoded.
            now: The time of signing, in Unix seconds; the present by default.
            leeway: For how many whole seconds before and after *now* the token is valid, at least 1.

        Raises:
            ValueError: *leeway* is not a whole number of seconds; or *path* or *subject* has no UTF-8 form.

        Source: the tokens of a real Restate server 1.7, whose claims are in alphabetical order.
        """
        if type(leeway) is not int or leeway < 1:
            raise ValueError(f"leeway is a whole number of seconds, at least 1, not {leeway!r}")
        issued_at = int(time.time() if now is None else now)
        claims: dict[str, str | int] = {
            "aud": signed_path(path),
            "exp": issued_at + leeway,
            "iat": issued_at,
            "nbf": issued_at - leeway,
        }
        if subject is not None:
            claims["sub"] = subject
        # PyJWT's own claims encoder escapes non-ASCII characters; the server writes UTF-8.
        payload = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()
        return jwt.PyJWS().encode(
            payload,
            self._private_key,
            algorithm="EdDSA",
            headers={"kid": str(self.public_key)},
            sort_headers=False,
        )

    def sign_jws(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """Return a compact JWS with any JOSE *header* and any *claims*, signed with EdDSA whatever the header says.

        Use it to test a verifier with tokens that no server makes.
        """
        signed = ".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        return f"{signed}.{_base64url(self._private_key.sign(signed.encode()))}"

    def headers(
        self, path: str, *, subject: str | None = None, now: float | None = None, leeway: int = DEFAULT_LEEWAY
    ) -> dict[str, str]:
        """Return the two headers that a server would send with a request for *path*; arguments as for `token`."""
        return {SCHEME_HEADER: SCHEME, TOKEN_HEADER: self.token(path, subject=subject, now=now, leeway=leeway)}


class _Request(Protocol):
    headers: Any

    @property
    def url(self) -> Any: ...


_AnyRequest = TypeVar("_AnyRequest", bound=_Request)


class SignedRequestAuth:
    """Signs each request of an HTTP client for its own path: the ``auth`` of httpx, httpx2 and Starlette's TestClient.

    It is a plain function of a request, which these clients accept as ``auth``, so this module imports none of them::

        client = TestClient(app)
        client.auth = SignedRequestAuth(signer)

    If the client follows a redirect, the new request has no signature, and a guarded service refuses it: a redirect may
    lead to a stranger's server, which must not get a token.

    Args:
        signer: Signs the requests.
        subject: The key of the virtual object or workflow, decoded; the same for each request.
        now: Returns the time of signing, in Unix seconds: ``lambda: time.time() - 120`` makes expired tokens.
        leeway: As for `RequestSigner.token`.
    """

    def __init__(
        self,
        signer: RequestSigner,
        *,
        subject: str | None = None,
        now: Callable[[], float] | None = None,
        leeway: int = DEFAULT_LEEWAY,
    ) -> None:
        self._signer = signer
        self._subject = subject
        self._now = now
        self._leeway = leeway

    def __call__(self, request: _AnyRequest) -> _AnyRequest:
        """Return *request* with the two headers, which replace any earlier ones."""
        now = None if self._now is None else self._now()
        # httpx decodes the path as an ASGI server does.
        headers = self._signer.headers(request.url.path, subject=self._subject, now=now, leeway=self._leeway)
        request.headers.update(headers)
        request.headers = _HeadersOfOneRequest(request.headers)
        return request


class _HeadersOfOneRequest(MutableMapping[str, str]):
    """The headers of a request; copies of them lack the signature.

    To follow a redirect, a client copies the headers and removes only those that it knows to be secret; it does not
    call the ``auth`` again. To send a request, it reads `raw` or `multi_items`, which include the signature.
    """

    __slots__ = ("_headers",)

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_headers"), name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._headers if name.lower() not in _SIGNATURE)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> str:
        value: str = self._headers[name]
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self._headers[name] = value

    def __delitem__(self, name: str) -> None:
        del self._headers[name]

    def copy(self) -> Any:
        return type(self._headers)(self)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
