"""Requests to send directly to a service: genuine ones, and attacks."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from demo.table import Row
from restate_identity import Reason
from restate_identity.signing import RequestSigner
from tests.support.base64url import base64url, from_base64url
from tests.support.invocation import CONTENT_TYPE, MANIFEST_TYPE, invocation_body, invocation_result
from tests.support.refusals import RefusalLog

ADD = "/invoke/Counter/add"
READ = "/invoke/Counter/read"
KEY = "alice"

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """A request, with the reason of its refusal, or None if it must be served."""

    what: str
    headers: Headers
    reason: Reason | None = None
    path: str = ADD
    key: str = ""
    argument: object = 3


def genuine_requests(signer: RequestSigner, awkward_key: str) -> Iterator[Request]:
    """Yield requests that must be served, signed as the Restate server signs."""

    def signed(path: str, subject: str | None = None) -> Headers:
        return signer.headers(path, subject=subject).items()

    yield Request("signed, discovery", signed("/discover"), path="/discover")
    yield Request("signed, discovery under a prefix", signed("/discover"), path="/some/prefix/discover")
    yield Request("signed, a service", signed("/invoke/Greeter/greet"), path="/invoke/Greeter/greet", argument="Ada")
    yield Request(f"signed, Counter {KEY}", signed(ADD, KEY), key=KEY)
    yield Request(f"signed, Counter {awkward_key}", signed(ADD, awkward_key), key=awkward_key)
    yield Request("unsigned, but /health is exempt", (), path="/health")


def attacks(signer: RequestSigner) -> Iterator[Request]:
    """Yield requests that must be refused. Each differs from a genuine one as its text says."""
    now = int(time.time())
    genuine = signer.token(ADD, subject=KEY, now=now)
    header, claims, signature = genuine.split(".")
    kid = str(signer.public_key)
    our_key = load_pem_private_key(signer.to_pem(), password=None)
    assert isinstance(our_key, Ed25519PrivateKey)
    their_key = Ed25519PrivateKey.generate()
    stranger = RequestSigner(their_key)
    their_jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(stranger.public_key.raw)}

    yield Request("no headers at all", (), Reason.MISSING_SCHEME)
    yield Request("no headers, path begins like /health", (), Reason.MISSING_SCHEME, path=f"/health{ADD}")
    yield Request("no headers, discovery", (), Reason.MISSING_SCHEME, path="/discover")
    yield Request("a genuine token, no scheme", [("x-restate-jwt-v1", genuine)], Reason.MISSING_SCHEME)
    yield Request("scheme 'unsigned'", _scheme("unsigned"), Reason.UNSIGNED)
    yield Request("scheme 'unsigned', genuine token", _scheme("unsigned", genuine), Reason.UNSIGNED)
    yield Request("scheme 'v2', genuine token", _scheme("v2", genuine), Reason.UNSUPPORTED_SCHEME)
    yield Request("scheme 'v1', no token", _scheme("v1"), Reason.MISSING_TOKEN)
    yield Request("token sent twice", _scheme("v1", genuine, genuine), Reason.REPEATED_HEADER)
    yield Request("forged and genuine token", _scheme("v1", stranger.token(ADD), genuine), Reason.REPEATED_HEADER)
    yield Request("17 KiB of token", _token("A" * 17 * 1024), Reason.OVERSIZED_TOKEN)
    yield Request("garbage for a token", _token("let me in"), Reason.MALFORMED_TOKEN)
    yield Request("signature cut off", _token(f"{header}.{claims}"), Reason.MALFORMED_TOKEN)
    yield Request("genuine, with base64 padding", _token(genuine + "=="), Reason.MALFORMED_TOKEN)
    yield Request(
        "brings its own key (jwk)",
        _token(_jws({"alg": "EdDSA", "kid": kid, "jwk": their_jwk}, _decoded(claims), their_key.sign)),
        Reason.MALFORMED_TOKEN,
    )
    yield Request(
        "alg 'none', no signature",
        _token(_jws({"alg": "none", "kid": kid}, _decoded(claims), lambda _: b"")),
        Reason.UNSUPPORTED_ALGORITHM,
    )
    yield Request(
        "alg 'HS256', our public key as secret",
        _token(_jws({"alg": "HS256", "kid": kid}, _decoded(claims), _hs256(kid))),
        Reason.UNSUPPORTED_ALGORITHM,
    )
    yield Request("signed by another key", _token(stranger.token(ADD, subject=KEY)), Reason.UNKNOWN_KEY)
    yield Request(
        "signed by us, names no key", _token(_jws({"alg": "EdDSA"}, _decoded(claims), our_key.sign)), Reason.UNKNOWN_KEY
    )
    yield Request(
        "signed by another key, claims ours",
        _token(_jws({"alg": "EdDSA", "kid": kid}, _decoded(claims), their_key.sign)),
        Reason.BAD_SIGNATURE,
    )
    changed = _encoded({**_decoded(claims), "sub": "bob"})
    yield Request(
        "object key changed to bob", _token(f"{header}.{changed}.{signature}"), Reason.BAD_SIGNATURE, key="bob"
    )
    extended = _encoded({**_decoded(claims), "exp": now + 10**9})
    yield Request("expiry moved by 30 years", _token(f"{header}.{extended}.{signature}"), Reason.BAD_SIGNATURE)
    yield Request("no signature", _token(f"{header}.{claims}."), Reason.BAD_SIGNATURE)
    yield Request(
        "signed by us for another purpose",
        _token(_jws({"alg": "EdDSA", "kid": kid}, {"sub": KEY, "aud": ADD}, our_key.sign)),
        Reason.MALFORMED_CLAIMS,
    )
    yield Request("from two minutes ahead", _token(signer.token(ADD, subject=KEY, now=now + 120)), Reason.NOT_YET_VALID)
    yield Request("two minutes old", _token(signer.token(ADD, subject=KEY, now=now - 120)), Reason.EXPIRED)
    yield Request("signed for another handler", _token(signer.token(READ, subject=KEY)), Reason.WRONG_AUDIENCE)
    yield Request("signed for discovery", _token(signer.token("/discover")), Reason.WRONG_AUDIENCE)
    yield Request("genuine, slash appended to the path", _token(genuine), Reason.WRONG_AUDIENCE, path=f"{ADD}/")


def send(request: Request, sender: str, service_url: str, log: RefusalLog, client: httpx.Client) -> Row:
    """Send *request*, and compare the answer and the refusal in the service's log with the expected ones."""
    try:
        response = client.send(_http_request(request, service_url, client))
    except httpx.TransportError as error:
        response = None
        came_back = f"no answer ({type(error).__name__})"
    refusals = [(refusal.path, refusal.reason) for refusal in log.new()]
    reasons = ", ".join(reason for _, reason in refusals)
    if response is None:
        return Row(sender, request.what, came_back, reasons or "none", as_expected=False)
    if request.reason is not None:
        as_expected = response.status_code == 401 and refusals == [(request.path, request.reason)]
        return Row(sender, request.what, str(response.status_code), reasons or "none", as_expected)
    is_served = response.status_code == 200 and not refusals
    if not request.key:
        return Row(sender, request.what, str(response.status_code), reasons, is_served)
    signed_key = invocation_result(response.content).get("signed_key")
    came_back = f"{response.status_code}, signed key {signed_key}"
    return Row(sender, request.what, came_back, reasons, is_served and signed_key == request.key)


def _http_request(request: Request, service_url: str, client: httpx.Client) -> httpx.Request:
    headers = list(request.headers)
    if "/invoke/" not in request.path:
        headers.append(("accept", MANIFEST_TYPE))
        return client.build_request("GET", service_url + request.path, headers=headers)
    if request.reason is None:
        headers.append(("content-type", CONTENT_TYPE))
        body = invocation_body(request.key, request.argument)
        return client.build_request("POST", service_url + request.path, headers=headers, content=body)
    # No body, not even an empty one: the guard answers first, and hypercorn 0.18 would drop the connection.
    built = client.build_request("POST", service_url + request.path, headers=headers)
    del built.headers["content-length"]
    return built


def _scheme(scheme: str, *tokens: str) -> Headers:
    return [("x-restate-signature-scheme", scheme), *(("x-restate-jwt-v1", token) for token in tokens)]


def _token(token: str) -> Headers:
    return _scheme("v1", token)


def _jws(header: object, claims: object, sign: Callable[[bytes], bytes]) -> str:
    signed = f"{_encoded(header)}.{_encoded(claims)}"
    return f"{signed}.{base64url(sign(signed.encode()))}"


def _hs256(secret: str) -> Callable[[bytes], bytes]:
    return lambda message: hmac.digest(secret.encode(), message, hashlib.sha256)


def _encoded(value: object) -> str:
    return base64url(json.dumps(value).encode())


def _decoded(part: str) -> dict[str, object]:
    value: dict[str, object] = json.loads(from_base64url(part))
    return value
