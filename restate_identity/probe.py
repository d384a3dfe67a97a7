"""Audit from outside which requests a running endpoint lets in, in any language. Needs the extra ``cli``.

The probe is harmless: it asks for discovery, and for a handler with a random name. It sends one request after the
other, without a body: one or two to reach the endpoint, then each case once for discovery and once for each service, at
most `MAX_SERVICES` of them. A case without an answer is sent once more. Over HTTP/2, one unsigned request with a body
of one byte follows.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from restate_identity._headers import SCHEME_HEADER, TOKEN_HEADER
from restate_identity._redaction import has_mark_of_secret, shown
from restate_identity.errors import IdentityError

try:
    import httpx

    from restate_identity._http_server import UNUSABLE, is_near, origin, seconds_ahead, unusable
    from restate_identity._open_body import waits_for_the_end
    from restate_identity.signing import RequestSigner
except ImportError as _error:
    raise ImportError(
        "the probe needs httpx and the signer: pip install 'restate-identity[cli]'", name=_error.name
    ) from _error

__all__ = ["MAX_SERVICES", "Case", "Finding", "ProbeError", "Report", "Result", "cases", "probe"]

MAX_SERVICES = 10
# In seconds. Sockets do not accept arbitrarily large timeouts.
MAX_TIMEOUT = 3600.0
NOBODYS_SERVICE = "RestateIdentityProbe"
REFUSALS = (401, 403)
# In seconds. Far longer than clocks differ, and than any token is configured to be valid.
LONG = 86400
MAX_BODY = 64 * 1024
MAX_SILENCES = 3
_SERVICE_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_MANIFESTS = ", ".join(f"application/vnd.restate.endpointmanifest.v{version}+json" for version in (1, 2, 3, 4))
_INVOCATION = "application/vnd.restate.invocation.v5"

Headers = Sequence[tuple[str, str]]


class ProbeError(IdentityError):
    """The endpoint could not be probed. The message says what to do."""


class Finding(str, Enum):
    """The meaning of a wrong answer to a case."""

    OPEN = "open"
    """A caller gets in without the key, or with a token for another request, or with an expired token."""
    LENIENT = "lenient"
    """The token can be read in two ways. Only the key's owner can make it, but other verifiers read it differently."""
    CLOSED = "closed"
    """Genuine requests are refused, because of another key, another path, or clocks that differ."""

    UNCLEAR = "unclear"
    """Neither let in nor refused: an error, a redirect, or no answer."""

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request.

    Attributes:
        name: A stable name, for machines.
        sends: A description of the request.
        accepted: Whether a sound verifier accepts it.
        finding: The finding if the endpoint answers otherwise.
        headers: Makes the headers for a path.
        needs_key: Whether the private key is needed to make it.
    """

    name: str
    sends: str
    accepted: bool
    finding: Finding
    headers: Callable[[str], Headers]
    needs_key: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one request.

    Attributes:
        path: The requested path, below the URL.
        status: The HTTP status; None if there was no answer.
        finding: None if the endpoint answered like a sound verifier.
    """

    case: Case
    path: str
    status: int | None
    finding: Finding | None


@dataclass(frozen=True, slots=True)
class Report:
    """The outcomes of all requests to an endpoint.

    Attributes:
        http_version: ``HTTP/1.1`` or ``HTTP/2``.
        left_out: The cases that were skipped because they need the private key.
        seconds_ahead: How many seconds this machine's clock is ahead of the endpoint's, to about a second; None if the
            endpoint sends no ``Date``.
        waits_for_the_end: Whether a request is answered only when its body has ended, so that Restate's calls over
            HTTP/2, whose bodies stay open, expire. None if the endpoint speaks HTTP/1.1 only, or did not answer.
    """

    url: str
    http_version: str
    results: tuple[Result, ...]
    left_out: tuple[Case, ...]
    seconds_ahead: float | None = None
    waits_for_the_end: bool | None = None

    @property
    def findings(self) -> tuple[Result, ...]:
        """The results that differ from those of a sound verifier."""
        return tuple(result for result in self.results if result.finding)


def probe(
    url: str,
    *,
    signer: RequestSigner | None = None,
    services: Sequence[str] = (),
    timeout: float = 10.0,
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Send every case to discovery and to a handler that does not exist, and report the outcomes.

    It speaks HTTP/2 if the endpoint does (over plain HTTP with prior knowledge, as Restate does), else HTTP/1.1.

    Args:
        url: The endpoint, as it is registered with Restate.
        signer: A signer with the private key whose public key the endpoint trusts. Without it, several cases are
            skipped, and an endpoint that refuses everybody looks sound.
        services: Names of services to try, at most `MAX_SERVICES`; one that does not exist by default.
        timeout: How many seconds to wait for an answer; above 0, and at most 3,600. The rest of a body that takes
            longer is not read. A head that comes in pieces may take so long for each piece.
        progress: Called after each request, with the number of requests sent and the total.

    Raises:
        ProbeError: There is no endpoint at *url*, it stopped answering, or an argument cannot be used.
    """
    if not _is_base_url(url):
        raise ProbeError(
            "this is not the URL of an endpoint: pass one like http://127.0.0.1:9080, "
            "without user and password, query and fragment"
        )
    if not 0 < timeout <= MAX_TIMEOUT:  # refuses NaN too
        raise ProbeError(f"the timeout is above 0 and at most {MAX_TIMEOUT:g} seconds, and not {timeout:g}")
    if len(services) > MAX_SERVICES:
        raise ProbeError(f"at most {MAX_SERVICES} services are probed at once, these are {len(services)}")
    for service in services:
        is_name = service and _SERVICE_CHARACTERS.issuperset(service) and service not in (".", "..")
        if not is_name or has_mark_of_secret(service):
            raise ProbeError(f"{shown(service)!r} is not the name of a service")
    handler = f"restate_identity_probe_{secrets.token_hex(4)}"
    paths = ["/discover", *(f"/invoke/{service}/{handler}" for service in services or [NOBODYS_SERVICE])]
    everything = list(cases(signer))
    with _client(url, timeout) as client:
        endpoint = _Endpoint(client, url.rstrip("/"), timeout)
        http_version, ahead = endpoint.greet()
        planned = [(case, path) for path in paths for case in everything if signer is not None or not case.needs_key]
        results = []
        for case, path in planned:
            results.append(endpoint.result(case, path))
            if progress is not None:
                progress(len(results), len(planned))
    left_out = tuple(case for case in everything if signer is None and case.needs_key)
    # Over HTTP/1.1, Restate ends the body before it expects an answer.
    waits = waits_for_the_end(url.rstrip("/") + paths[1]) if http_version == "HTTP/2" else None
    return Report(url, http_version, tuple(results), left_out, ahead, waits)


def _is_url(url: str) -> bool:
    """Return whether *url* is an HTTP URL without user and password, so that messages may contain its origin."""
    try:
        address = urlsplit(url)
        is_valid_port = address.port != 0
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        return False
    has_user = address.username is not None
    return address.scheme in ("http", "https") and bool(address.hostname) and is_valid_port and not has_user


def _is_base_url(url: str) -> bool:
    return _is_url(url) and not urlsplit(url).query and not urlsplit(url).fragment


def cases(signer: RequestSigner | None) -> Iterator[Case]:
    """Yield all cases. Without a *signer*, cases that need the key can be listed, but not sent."""
    stranger = RequestSigner.generate()
    own = signer or stranger
    kid = str(own.public_key)

    def claims(path: str) -> dict[str, object]:
        now = int(time.time())
        return {"aud": path, "exp": now + 60, "iat": now, "nbf": now - 60}

    def jose(**members: str) -> dict[str, object]:
        return {"typ": "JWT", "alg": "EdDSA", **members}

    def unsigned(path: str) -> str:
        return f"{stranger.sign_jws({'alg': 'none', 'kid': kid}, claims(path)).rpartition('.')[0]}."

    def another(path: str) -> str:
        return "/discover" if path != "/discover" else f"/invoke/{NOBODYS_SERVICE}/another"

    def refused(
        name: str, sends: str, *tokens: Callable[[str], str], lenient: bool = False, needs_key: bool = True
    ) -> Case:
        finding = Finding.LENIENT if lenient else Finding.OPEN
        return Case(name, sends, False, finding, lambda path: _v1(*(make(path) for make in tokens)), needs_key)

    yield Case("no-headers", "no signature at all", False, Finding.OPEN, lambda _: (), needs_key=False)
    yield Case(
        "unsigned", "scheme 'unsigned'", False, Finding.OPEN, lambda _: [(SCHEME_HEADER, "unsigned")], needs_key=False
    )
    yield refused("no-token", "scheme 'v1', no token", needs_key=False)
    yield refused("garbage", "garbage for a token", lambda _: "garbage", needs_key=False)
    yield refused("alg-none", "alg 'none', no signature", unsigned, needs_key=False)
    yield refused("foreign-key", "signed with a key made just now", stranger.token, needs_key=False)
    yield refused(
        "forged", "the same, claiming to be yours", lambda path: stranger.sign_jws(jose(kid=kid), claims(path))
    )
    yield refused("expired", "signed by you yesterday", lambda path: own.token(path, now=time.time() - LONG))
    yield refused("not-yet-valid", "signed by you for tomorrow", lambda path: own.token(path, now=time.time() + LONG))
    yield refused("wrong-path", "signed by you for another path", lambda path: own.token(another(path)))
    yield refused(
        "no-kid", "signed by you, names no key", lambda path: own.sign_jws(jose(), claims(path)), lenient=True
    )
    yield refused("repeated-header", "two tokens, yours first", own.token, stranger.token, lenient=True)
    yield refused("repeated-header-last", "two tokens, yours last", stranger.token, own.token, lenient=True)
    yield refused(
        "array-audience",
        "signed by you, aud is an array",
        lambda path: own.sign_jws(jose(kid=kid), {**claims(path), "aud": [path]}),
        lenient=True,
    )
    yield Case("genuine", "signed by you", True, Finding.CLOSED, lambda path: _v1(own.token(path)))


def _v1(*tokens: str) -> Headers:
    return [(SCHEME_HEADER, "v1"), *((TOKEN_HEADER, token) for token in tokens)]


def _client(url: str, timeout: float) -> httpx.Client:
    """Return a client that speaks HTTP/2 to *url*, or HTTP/1.1 if the endpoint does not speak HTTP/2."""
    if not url.startswith("http:"):
        return _client_with(url, timeout, http1=True, http2=True)
    with _client_with(url, timeout, http1=False, http2=True) as prior_knowledge:
        try:
            _Endpoint(prior_knowledge, url.rstrip("/"), timeout).version()
        except httpx.TransportError:
            pass  # if there is no server at all, HTTP/1.1 will fail too
        else:
            return _client_with(url, timeout, http1=False, http2=True)
    return _client_with(url, timeout, http1=True, http2=False)


def _client_with(url: str, timeout: float, *, http1: bool, http2: bool) -> httpx.Client:
    agent = {"user-agent": "restate-identity-probe", "accept-encoding": "identity"}
    try:
        return httpx.Client(http1=http1, http2=http2, timeout=timeout, headers=agent, trust_env=not is_near(url))
    except UNUSABLE:
        raise ProbeError(unusable(url)) from None


class _Endpoint:
    def __init__(self, client: httpx.Client, url: str, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._url = url
        # The path may contain a gateway's key, so no message contains it.
        self._shown = origin(url)
        self._silences = 0

    def version(self) -> str:
        return self._send("/discover", ()).http_version

    def greet(self) -> tuple[str, float | None]:
        """Return the version of HTTP and how far our clock is ahead; raise ProbeError if this is not an endpoint."""
        before = time.time()
        try:
            answer = self._send("/discover", ())
        except httpx.TransportError as error:
            raise ProbeError(f"cannot reach {self._shown}: {error or type(error).__name__}; is it running?") from None
        status = answer.status_code
        if status == 404 or status >= 500 or answer.is_redirect:
            raise ProbeError(
                f"{self._shown} answers {status} to discovery: this is no endpoint; "
                "pass the URL that is registered with Restate"
            )
        now = (before + time.time()) / 2
        return answer.http_version, seconds_ahead(now, answer.headers.get("date", ""))

    def result(self, case: Case, path: str) -> Result:
        status = self._status(path, case.headers(path))
        return Result(case, path, status, _finding(case, status))

    def _status(self, path: str, headers: Headers) -> int | None:
        for _ in range(2):  # a server may drop a connection for reasons of its own
            try:
                status = self._send(path, headers).status_code
            except httpx.TransportError:
                continue
            self._silences = 0
            return status
        self._silences += 1
        if self._silences == MAX_SILENCES:
            raise ProbeError(f"{self._shown} stopped answering: look into its log, and try again")
        return None

    def _send(self, path: str, headers: Headers) -> httpx.Response:
        is_discovery = path == "/discover"
        media = ("accept", _MANIFESTS) if is_discovery else ("content-type", _INVOCATION)
        request = self._client.build_request(
            "GET" if is_discovery else "POST", self._url + path, headers=[media, *headers]
        )
        # No body, not even an empty one: Hypercorn 0.18 drops a connection on which it answers before the body's end.
        request.headers.pop("content-length", None)
        give_up_at = time.monotonic() + self._timeout
        response = self._client.send(request, stream=True)
        try:
            read = 0
            for chunk in response.iter_raw():
                read += len(chunk)
                if read > MAX_BODY or time.monotonic() > give_up_at:
                    break
        finally:
            response.close()
        return response


def _finding(case: Case, status: int | None) -> Finding | None:
    if status in REFUSALS:
        return case.finding if case.accepted else None
    # A request that is let in gets a 404, because the handler does not exist.
    if status is None or not (200 <= status < 300 or 400 < status < 500):
        return Finding.UNCLEAR
    return None if case.accepted else case.finding
