"""What ``restate-identity export`` prints: a configuration with which the real Envoy verifies, and a JWK Set."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest

from restate_identity import IdentityVerifier
from restate_identity.edge import EdgeApplication
from restate_identity.edge.envoy import DIFFERENCES, envoy_configuration
from restate_identity.signing import RequestSigner
from tests.servers.edge.attacks import Attacker
from tests.support import ROOT
from tests.support.command import run_as_text
from tests.support.edge import Service, running_service
from tests.support.edge_proxies import INSTALLED, PREFIX
from tests.support.processes import free_port
from tests.support.proxies import proxied
from tests.support.wire import Http2Exchange
from tests.tools.conformance.sdks.__main__ import is_sendable, status
from tests.vectors.forge import OWN
from tests.vectors.generate import suite

PATH = "/invoke/Greeter/greet"
FIRST, SECOND = RequestSigner.generate(), RequestSigner.generate()
NEEDS_ENVOY = pytest.mark.skipif("envoy" not in INSTALLED, reason="there is no Envoy for this platform")

# The vectors that show a difference, by the start of its sentence. The others are about what is no vector.
SHOWN_BY = {
    "a token is valid": [],
    "base64url": [f"encoding-0{number}" for number in (13, 14, 15, 16, 19, 20, 23)],
    "what is almost JSON": ["jose_header-012", "jose_header-014", "claims-014", "claims-016"],
    "JSON may be": ["jose_header-042", "jose_header-045", "jose_header-047", "claims-041", "claims-098"],
    "a time": ["claims-061", "claims-062", "claims-071", "claims-072", "claims-081", "claims-082", "claims-087"],
    "a signature": ["signature-038"],
    "a claim": ["claims-099"],
    "a refusal": [],
    "the service": [],
    "keys change": [],
}


def exported(what: str, *arguments: str) -> str:
    done = run_as_text("export", what, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@contextmanager
def envoy(service: Service, keys: Sequence[str], *arguments: str) -> Iterator[int]:
    options = [word for key in keys for word in ("--identity-key", key)]
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="envoy-") as temporary:
        configuration = Path(temporary, "exported")
        configuration.mkdir()
        (configuration / "envoy.yaml").write_text(exported("envoy", *options, *arguments), "utf-8")
        with proxied("envoy", configuration, Path(temporary), port=port, upstream=service.port):
            yield port


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(service: Service) -> Iterator[int]:
    with envoy(service, [str(FIRST.public_key), str(SECOND.public_key)], "--prefix", PREFIX) as port:
        yield port


def answer(port: int, path: str, headers: dict[str, str]) -> int:
    with Http2Exchange(port, "POST", path, headers.items()) as exchange:
        return exchange.status()


@NEEDS_ENVOY
def test_it_differs_from_an_edge_in_what_it_says_and_in_nothing_else(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Every vector that can be sent, below a prefix, to Envoy and to an edge."""
    caplog.set_level(logging.CRITICAL, "restate_identity")
    edge = EdgeApplication(behind="envoy", prefix=PREFIX, verifier=IdentityVerifier([OWN.text]))
    cases = [case for group in suite(int(time.time())).values() for case in group["cases"] if is_sendable(case)]
    assert len(cases) > 400
    differing: dict[str, str] = {}
    reasons = set()
    with envoy(service, [OWN.text], "--prefix", PREFIX) as port:
        for case in cases:
            service.received.clear()
            status(port, {**case, "path": PREFIX + case["path"]})
            is_wanted = _judged(edge, case)
            reasons.add(case["reason"])
            if bool(service.received) != is_wanted:
                differing[case["id"]] = "refused" if is_wanted else "let in"
                # Only what the owner of the private key can have made, or a signature in another spelling.
                assert case["reason"] in (None, "malformed_token", "malformed_claims") or case["id"] == "signature-038"
    known = {case: "let in" for cases in SHOWN_BY.values() for case in cases}
    assert differing == known | {"claims-099": "refused"}
    assert {"missing_scheme", "unsupported_scheme", "missing_token", "repeated_header", "oversized_token"} < reasons
    assert {"malformed_token", "unsupported_algorithm", "unknown_key", "bad_signature", "malformed_claims"} < reasons
    assert {"wrong_audience"} < reasons


def _judged(edge: EdgeApplication, case: dict[str, Any]) -> bool:
    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def receive() -> Any:
        return {"type": "http.request"}

    path, _, query = quote(PREFIX + case["path"]).partition("?")
    headers = [
        (name.lower().encode("latin-1"), value.strip(" \t").encode("latin-1")) for name, value in case["headers"]
    ]
    scope = {"type": "http", "raw_path": path.encode(), "query_string": query.encode(), "headers": headers}
    asyncio.run(edge(scope, receive, send))
    return statuses == [200]


@pytest.mark.parametrize(("prefix", "below"), [(PREFIX, PREFIX), ("", "/")])
def test_the_output_begins_with_what_it_lets_through(prefix: str, below: str) -> None:
    printed = envoy_configuration([FIRST.public_key], prefix)
    assert f"only what Restate signed for its path, below the prefix {below}.\n" in printed


def test_each_difference_is_in_the_output_and_in_the_docs() -> None:
    printed = exported("envoy", "--identity-key", OWN.text)
    page = " ".join((ROOT / "docs" / "edge.md").read_text("utf-8").replace("`", "").split())
    for sentence, start in zip(DIFFERENCES, SHOWN_BY, strict=True):
        assert sentence.startswith(start)
        assert f"#   - {sentence}.\n" in printed
        assert f"- {sentence[0].upper()}{sentence[1:]}." in page


@NEEDS_ENVOY
def test_each_key_vouches_for_its_tokens_until_they_expire(guarded: int, service: Service) -> None:
    now = int(time.time())
    service.received.clear()
    assert answer(guarded, PREFIX + PATH, FIRST.headers(PATH)) == 200
    assert answer(guarded, PREFIX + PATH, SECOND.headers(PATH, subject="Ada & Grüße/π\r\n")) == 200
    assert answer(guarded, PREFIX + PATH, RequestSigner.generate().headers(PATH)) == 401
    assert len(service.received) == 2
    # The tokens of the signer are valid for 60 s on both sides.
    assert answer(guarded, PREFIX + PATH, FIRST.headers(PATH, now=now - 70)) == 401
    assert answer(guarded, PREFIX + PATH, FIRST.headers(PATH, now=now + 70)) == 401
    assert answer(guarded, PREFIX + PATH, FIRST.headers(PATH, now=now - 50)) == 200
    assert answer(guarded, PREFIX + PATH, FIRST.headers(PATH, now=now + 50)) == 200


@NEEDS_ENVOY
def test_without_a_prefix_only_the_signed_path_itself_is_let_through(service: Service) -> None:
    with envoy(service, [str(FIRST.public_key)]) as port:
        assert answer(port, PATH, FIRST.headers(PATH)) == 200
        assert answer(port, "/discover", FIRST.headers("/discover")) == 200
        assert answer(port, PREFIX + PATH, FIRST.headers(PATH)) == 403
        assert answer(port, "/discover", FIRST.headers(PATH)) == 403


@NEEDS_ENVOY
def test_a_token_in_another_place_is_not_looked_at(guarded: int) -> None:
    token = FIRST.token(PATH)
    scheme = {"x-restate-signature-scheme": "v1"}
    assert answer(guarded, PREFIX + PATH, {**scheme, "authorization": f"Bearer {token}"}) == 401
    assert answer(guarded, f"{PREFIX}{PATH}?access_token={token}", scheme) == 401


@NEEDS_ENVOY
def test_whatever_reaches_the_service_is_the_prefix_and_the_signed_path(guarded: int, service: Service) -> None:
    attacker = Attacker(guarded, None, service, FIRST, seed=int(time.time()))
    attacker.attack(200)
    assert attacker.let_through > 0


@NEEDS_ENVOY
def test_requests_and_responses_stream_both_ways_at_once(guarded: int) -> None:
    with Http2Exchange(guarded, "POST", PREFIX + PATH, FIRST.headers(PATH).items(), body=True) as exchange:
        for piece in (b"one", b"two"):
            exchange.send(piece)
            if piece == b"one":
                assert exchange.status() == 200
            assert exchange.read() == piece
        exchange.end()
        assert exchange.read() == b""


def test_the_key_set_is_one_that_a_library_verifies_with() -> None:
    printed = exported("jwks", "--identity-key", f"{FIRST.public_key},{SECOND.public_key}")
    for signer in (FIRST, SECOND):
        key = jwt.PyJWKSet.from_json(printed)[str(signer.public_key)]
        claims = jwt.decode(signer.token(PATH), key, ["EdDSA"], audience=PATH)
        assert claims["aud"] == PATH
    keys = json.loads(printed)["keys"]
    assert [set(key) for key in keys] == [{"kty", "crv", "x", "kid", "alg", "use"}] * 2
    assert [key["use"] for key in keys] == ["sig"] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["envoy", "--prefix", "/a/"], "--prefix: the prefix '/a/' is not plain"),
        (["jwks"], "there is no key to verify with: pass --identity-key"),
        (["envoy"], "there is no key to verify with: pass --identity-key"),
    ],
)
def test_a_mistake_is_named(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESTATE_IDENTITY_KEYS", raising=False)
    done = run_as_text("export", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(re.escape(message), done.stderr)
