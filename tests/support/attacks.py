"""Requests to send directly to a service: genuine ones, and attacks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from demo.table import Row
from restate_identity import Reason
from restate_identity.signing import RequestSigner
from tests.support.invocation import CONTENT_TYPE, MANIFEST_TYPE, invocation_body, invocation_result
from tests.support.refusals import RefusalLog
from tests.vectors.forge import Forge, KeyPair
from tests.vectors.generate import GROUPS

ADD = "/invoke/Counter/add"
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


# Of the test vectors: their groups, and what they say about themselves.
FORGERIES = {
    "headers": (
        "no headers at all",
        "the token alone",
        "a server without a key",
        "unsigned, with a good token",
        "the scheme is 'v2'",
        "the scheme alone",
        "the token twice, the same",
        "two good tokens",
        "17,000 characters of garbage",
    ),
    "encoding": ("one part", "two parts", "the signature padded"),
    "jose_header": (
        "jwk, and signed by that key",
        "alg is 'none' and there is no signature",
        "alg is 'HS256'",
        "another's name and signature",
        "no kid",
    ),
    "signature": (
        "none",
        "another's",
        "of another subject",
        "of another handler",
        "of an earlier second",
        "S + 1 L, not reduced",
        "an HMAC with the public key as the secret",
    ),
    "claims": ("no exp", "aud is an array of one"),
    "time": ("valid in an hour", "expired a minute ago"),
    "paths": ("the token is for another handler", "the token is for discovery", "the request is for a trailing slash"),
}


def attacks(signer: RequestSigner) -> Iterator[Request]:
    """Yield requests that must be refused. Each differs from a genuine one as its text says."""
    private = load_pem_private_key(signer.to_pem(), password=None)
    assert isinstance(private, Ed25519PrivateKey)
    forge = Forge(int(time.time()), KeyPair(private.private_bytes_raw()))
    for group, comments in FORGERIES.items():
        cases = {case.comment: case for case in GROUPS[group].cases(forge)}
        for comment in comments:
            case = cases[comment]
            assert case.reason is not None
            what = f"{group.replace('_', ' ')}: {comment}"
            yield Request(what, case.headers, Reason(case.reason), path=case.path)
    yield Request("no headers, path begins like /health", (), Reason.MISSING_SCHEME, path=f"/health{ADD}")
    yield Request("no headers, discovery", (), Reason.MISSING_SCHEME, path="/discover")


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
