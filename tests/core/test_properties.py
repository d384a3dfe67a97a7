"""Properties that must hold for every input; Hypothesis searches for counterexamples."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from restate_identity import Identity, IdentityVerifier, Reason, VerificationError, signed_path
from restate_identity.signing import RequestSigner
from tests.support.base64url import base64url
from tests.support.forge import KEY, NOW, PATH, token, verifier
from tests.support.forge import claims as forged_claims

SIGNER = RequestSigner.generate()
UNICODE = st.text(st.characters(exclude_categories=["Cs"]))  # half a surrogate pair has no UTF-8
ANY_TEXT = st.text(st.characters())
LIKE_A_TOKEN = st.text(string.ascii_letters + string.digits + "-_.=", max_size=600)


# The names that a server registers, below any plain prefix.
SERVICES = st.from_regex("([a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9._-]{0,20}", fullmatch=True)
HANDLERS = st.from_regex("([a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9_]{0,20}", fullmatch=True)
SEGMENTS = st.from_regex("[a-zA-Z0-9._~!$&'()*,=:@-]{1,9}", fullmatch=True).filter(lambda text: text not in (".", ".."))
PREFIXES = st.lists(SEGMENTS, max_size=4).map(lambda segments: "".join(f"/{segment}" for segment in segments))
CALLED = st.just("/discover") | st.builds("/invoke/{}/{}".format, SERVICES, HANDLERS)
PATHS = st.builds("{}{}".format, PREFIXES, CALLED)


@given(path=PATHS, subject=st.none() | UNICODE, now=st.integers(10_000, 2**40), leeway=st.integers(1, 10_000))
@example(path="/a/invoke/G/greet", subject='\0\x1f\x7f"\\/\u2028', now=10_000, leeway=60)
def test_what_the_signer_signs_is_verified(path: str, subject: str | None, now: int, leeway: int) -> None:
    headers = SIGNER.headers(path, subject=subject, now=now, leeway=leeway)
    identity = IdentityVerifier([SIGNER.public_key], clock=lambda: now).verify(path, headers, raw_path=path.encode())
    assert identity == Identity(str(SIGNER.public_key), signed_path(path), subject, now, now - leeway, now + leeway)


@pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "payload", "signature"])
@given(data=st.data())
def test_any_single_byte_changed_in_any_part_is_refused(part: int, data: st.DataObject) -> None:
    genuine = token().encode()
    start = sum(len(piece) + 1 for piece in genuine.split(b".")[:part])
    position = data.draw(st.integers(start, start + len(genuine.split(b".")[part]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != genuine[position]))
    changed = (genuine[:position] + bytes([byte]) + genuine[position + 1 :]).decode("latin-1")
    with pytest.raises(VerificationError):
        verifier().verify_signature(PATH, "v1", changed)


@given(position=st.integers(0, len(token())), text=st.text(min_size=1, max_size=4))
def test_anything_inserted_anywhere_is_refused(position: int, text: str) -> None:
    with pytest.raises(VerificationError):
        verifier().verify_signature(PATH, "v1", token()[:position] + text + token()[position:])


@given(start=st.integers(0, len(token()) - 1), length=st.integers(1, 20))
def test_anything_left_out_anywhere_is_refused(start: int, length: int) -> None:
    with pytest.raises(VerificationError):
        verifier().verify_signature(PATH, "v1", token()[:start] + token()[start + length :])


anything = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary() | st.lists(ANY_TEXT)


@given(path=ANY_TEXT, raw_path=st.none() | st.binary() | st.just(PATH.encode()))
def test_no_path_raises_anything_but_a_verification_error_for_a_genuine_token(
    path: str, raw_path: bytes | None
) -> None:
    with pytest.raises(VerificationError) as refusal:
        verifier().verify_signature(path, "v1", token(), raw_path=raw_path)
    assert refusal.value.reason is Reason.WRONG_AUDIENCE
    assert str(refusal.value).isascii()


@given(path=anything, scheme=anything, token_=anything | LIKE_A_TOKEN)
@example(path="/", scheme="v1", token_="..")
def test_no_input_raises_anything_but_a_verification_error(path: object, scheme: object, token_: object) -> None:
    with pytest.raises(VerificationError) as refusal:
        verifier().verify_signature(path, scheme, token_)  # type: ignore[arg-type]
    assert str(refusal.value).isascii()


@given(path=anything, token_=LIKE_A_TOKEN | ANY_TEXT)
def test_no_text_in_the_token_raises_anything_but_a_verification_error(path: object, token_: str) -> None:
    with pytest.raises(VerificationError):
        verifier().verify_signature(path, "v1", token_)  # type: ignore[arg-type]


@given(header=st.binary(max_size=300), payload=st.binary(max_size=300))
def test_no_signed_bytes_raise_anything_but_a_verification_error(header: bytes, payload: bytes) -> None:
    for forged in (token(header), token(claims=payload), f"{base64url(header)}.{base64url(payload)}.AAAA"):
        with pytest.raises(VerificationError):
            verifier().verify_signature(PATH, "v1", forged)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(
    header=st.dictionaries(st.sampled_from(["typ", "alg", "kid", "crit", "x"]), json_values),
    claims=st.dictionaries(st.sampled_from(["aud", "sub", "iat", "nbf", "exp", "x"]), json_values),
)
def test_no_signed_json_raises_anything_but_a_verification_error(
    header: dict[str, object], claims: dict[str, object]
) -> None:
    with pytest.raises(VerificationError):
        # By another key, so that even a header that is drawn to be genuine is refused.
        verifier().verify_signature(PATH, "v1", token({**header, "kid": KEY}, foreign=True))
    with pytest.raises(VerificationError):
        # PATH is never drawn, so that even well-formed claims are for another audience.
        verifier().verify_signature(PATH, "v1", token(claims=claims))


texts = st.just(PATH) | ANY_TEXT
times = st.sampled_from([NOW - 60, NOW, NOW + 60, 0, -1, 2**53 - 1, 2**53]) | st.integers()


@settings(max_examples=5 * settings().max_examples)
@given(aud=texts, exp=times, iat=times, nbf=times, sub=st.none() | ANY_TEXT)
@example(aud=PATH, exp=NOW + 60, iat=NOW, nbf=NOW - 60, sub='"\\\x7f\u2028\0')
def test_claims_mean_the_same_as_the_server_writes_them_and_in_any_other_form(
    aud: str, exp: int, iat: int, nbf: int, sub: str | None
) -> None:
    members = forged_claims(aud=aud, exp=exp, iat=iat, nbf=nbf, sub=sub)
    otherwise = json.dumps(dict(reversed(members.items())), indent=1).encode()

    def verdict(token_: str) -> Identity | Reason:
        try:
            return verifier().verify_signature(PATH, "v1", token_)
        except VerificationError as refusal:
            return refusal.reason

    assert verdict(token(claims=members)) == verdict(token(claims=otherwise))


names = st.sampled_from(["x-restate-signature-scheme", "X-Restate-JWT-V1"]) | anything
values = st.sampled_from(["v1", token()]) | anything
pairs = st.lists(st.tuples(names, values) | anything)


@settings(max_examples=3 * settings().max_examples)
@given(path=anything, headers=anything | pairs | st.dictionaries(st.text() | st.binary(), values))
def test_no_headers_raise_anything_but_a_verification_error(path: object, headers: object) -> None:
    with pytest.raises(VerificationError):
        verifier(now=NOW + 1_000).verify(path, headers)  # type: ignore[arg-type]
