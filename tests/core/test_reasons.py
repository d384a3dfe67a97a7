"""The order of the reasons of a refusal, and the messages of the errors. `test_vectors` has a case of each reason."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from restate_identity import Reason, VerificationError
from restate_identity.signing import RequestSigner
from tests.support.base64url import base64url, from_base64url
from tests.support.forge import (
    FOREIGN_KEY,
    KEY,
    NOW,
    PATH,
    claims,
    compact_json,
    header,
    refusal,
    signed,
    token,
    verifier,
)
from tests.vectors.generate import GROUPS, stored

REFUSED = [case for group in GROUPS for case in stored(group)["cases"] if case["reason"] in set(Reason)]
HEADER = token().split(".")[0]


def reason_of(scheme: Any, token_: Any, path: str = PATH) -> Reason | None:
    try:
        verifier().verify_signature(path, scheme, token_)
    except VerificationError as error:
        return error.reason
    return None


def test_half_a_surrogate_pair_which_no_header_can_have_is_malformed() -> None:
    assert reason_of("v1", token() + "\ud800") is Reason.MALFORMED_TOKEN


def test_the_hint_names_bearer_if_it_stands_before_the_token() -> None:
    for scheme in ("Bearer", "bearer"):
        with pytest.raises(VerificationError, match="'Bearer' stands before it"):
            verifier().verify_signature(PATH, "v1", f"{scheme} {token()}")
    for scheme in ("Basic", "Carrier"):
        with pytest.raises(VerificationError, match="not three parts of canonical base64url"):
            verifier().verify_signature(PATH, "v1", f"{scheme} {token()}")


def test_the_values_of_the_reasons_are_stable_and_in_the_order_of_the_checks() -> None:
    assert [reason.value for reason in Reason] == [
        "missing_scheme",
        "unsigned",
        "unsupported_scheme",
        "missing_token",
        "repeated_header",
        "oversized_token",
        "malformed_token",
        "unsupported_algorithm",
        "unknown_key",
        "bad_signature",
        "malformed_claims",
        "not_yet_valid",
        "expired",
        "too_old",
        "wrong_audience",
    ]


def test_an_error_names_its_key_by_keyword_only_and_shows_reason_and_hint() -> None:
    error = VerificationError(reason=Reason.EXPIRED, hint="too late", kid="publickeyv1_x")
    assert (error.reason, error.hint, error.kid, str(error)) == (
        "expired",
        "too late",
        "publickeyv1_x",
        "expired: too late",
    )
    with pytest.raises(TypeError):
        VerificationError(Reason.EXPIRED, "too late", "publickeyv1_x")  # type: ignore[call-arg]


def test_an_error_that_another_process_sends_is_the_same() -> None:
    error = pickle.loads(pickle.dumps(VerificationError(reason=Reason.EXPIRED, hint="too late", kid="publickeyv1_x")))
    assert (type(error), error.reason, error.hint, error.kid) == (
        VerificationError,
        Reason.EXPIRED,
        "too late",
        "publickeyv1_x",
    )


def test_a_time_of_zero_is_a_time_in_whatever_order_the_claims_come() -> None:
    since_1970 = claims(nbf=0, iat=0)
    for members in (since_1970, dict(reversed(since_1970.items()))):
        assert reason_of("v1", token(claims=members)) is None


def test_whatever_bytes_a_payload_ends_with_its_encoding_is_canonical() -> None:
    for last in range(256):
        for length in (1, 2, 3):
            payload = b"x" * (length - 1) + bytes([last])
            assert reason_of("v1", token(claims=payload)) is Reason.MALFORMED_CLAIMS


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"\xff", "not UTF-8"),
        (b"{", "not JSON as the server writes it"),
        (claims(aud=5), "aud is not a string"),
        (claims(exp=None), "exp is not a time in whole seconds"),
    ],
)
def test_the_hint_says_what_is_wrong_with_the_claims(payload: Any, problem: str) -> None:
    refused = refusal(verifier(), PATH, "v1", token(claims=payload))
    assert f"the key is right, but the claims are not Restate's: {problem}" in refused.hint


ORDER = [
    (Reason.UNSUPPORTED_SCHEME, "v2", ""),
    (Reason.MISSING_TOKEN, "v1", ""),
    (Reason.REPEATED_HEADER, "v1", "," * 20_000),
    (Reason.OVERSIZED_TOKEN, "v1", "." * 20_000),
    (Reason.MALFORMED_TOKEN, "v1", signed(base64url(compact_json(header(alg="none", kid="x"))), "*", foreign=True)),
    (Reason.UNSUPPORTED_ALGORITHM, "v1", token(header(alg="none", kid="x"), b"{", foreign=True)),
    (Reason.UNKNOWN_KEY, "v1", token(header(kid="x"), b"{", foreign=True)),
    (Reason.BAD_SIGNATURE, "v1", token(claims=b"{", foreign=True)),
    (Reason.MALFORMED_CLAIMS, "v1", token(claims=claims(aud=5, exp=NOW))),
    (Reason.EXPIRED, "v1", token(claims=claims(aud="/else", exp=NOW))),
    (Reason.WRONG_AUDIENCE, "v1", token(claims=claims(aud="/else"))),
]


@pytest.mark.parametrize(("reason", "scheme", "wrong_in_several_ways"), ORDER, ids=[case[0] for case in ORDER])
def test_of_several_faults_the_cheapest_to_find_is_named(
    reason: Reason, scheme: str, wrong_in_several_ways: str
) -> None:
    assert reason_of(scheme, wrong_in_several_ways) is reason


class TestTheError:
    def test_it_is_one_short_line_of_ascii_without_the_token(self) -> None:
        for case in REFUSED:
            with pytest.raises(VerificationError) as refusal:
                verifier(*case["keys"], now=case["time"]).verify(case["path"], case["headers"])
            text = str(refusal.value)
            assert text == f"{case['reason']}: {refusal.value.hint}", case["id"]
            assert text.isascii(), case["id"]
            assert text.isprintable(), case["id"]
            assert len(text) < 700, case["id"]
            for _, value in case["headers"]:
                for part in value.split("."):
                    assert len(part) < 20 or part[:20] not in text, case["id"]

    def test_control_characters_of_the_request_do_not_reach_it(self) -> None:
        assert "\\n\\x1b[31mFAKE" in refusal(verifier(), "/a\n\x1b[31mFAKE", "v1", token()).hint

    def test_an_unknown_key_names_the_one_used_and_the_ones_configured(self) -> None:
        refused = refusal(verifier(), PATH, "v1", token(header(kid=FOREIGN_KEY), foreign=True))
        assert FOREIGN_KEY in refused.hint
        assert KEY in refused.hint

    @pytest.mark.parametrize(
        ("scheme", "token_", "told"),
        [
            (None, None, "there is no x-restate-signature-scheme header: "),
            ("", None, "the x-restate-signature-scheme header is empty: "),
            ("v1", None, "there is no x-restate-jwt-v1 header: "),
            ("v1", "", "the x-restate-jwt-v1 header is empty: "),
        ],
    )
    def test_a_header_that_is_missing_is_told_from_an_empty_one(
        self, scheme: str | None, token_: str | None, told: str
    ) -> None:
        assert refusal(verifier(), PATH, scheme, token_).hint.startswith(told)

    @pytest.mark.parametrize(
        ("path", "is_told"), [("/a/", True), ("//", True), ("/a", False), ("/", False), (b"/a/", False)]
    )
    def test_of_an_unsigned_request_for_a_path_with_a_slash_at_the_end_it_says_that_exempt_paths_are_exact(
        self, path: Any, is_told: bool
    ) -> None:
        told = ". Exempt paths are exact, and this one ends with '/'" if is_told else ""
        assert refusal(verifier(), path, None, None).hint.endswith(f"or a proxy dropped the header{told}")

    @pytest.mark.parametrize(("count", "others"), [(2, ""), (3, ""), (4, " and 1 more"), (200, " and 197 more")])
    def test_of_many_configured_keys_three_are_named(self, count: int, others: str) -> None:
        keys = [str(RequestSigner.generate().public_key) for _ in range(count)]
        assert f"({', '.join(keys[:3])}{others})" in refusal(verifier(*keys), PATH, "v1", token()).hint

    @pytest.mark.parametrize(
        ("kid", "is_told"),
        [
            (FOREIGN_KEY, True),
            ("publickeyv1_1", True),
            ("publickeyv1_" + "1" * 44, True),
            ("publickeyv1_" + "1" * 45, False),
            ("publickeyv1_", False),
            ("publickeyv1_a b", False),
            ("publickeyv1_\u00e9", False),
            ("publickeyv2_1", False),
            ("1", False),
            (None, False),
            (["publickeyv1_1"], False),
        ],
    )
    def test_a_key_that_is_not_configured_is_told_if_it_looks_like_one(self, kid: object, is_told: bool) -> None:
        refused = refusal(verifier(), PATH, "v1", token(header(kid=kid), foreign=True))
        assert (refused.reason, refused.kid) == (Reason.UNKNOWN_KEY, kid if is_told else None)

    @pytest.mark.parametrize(
        ("length", "quotation"),
        [(99, "'" + "k" * 99 + "'"), (100, "'" + "k" * 100 + "'"), (101, "'" + "k" * 100 + "'... (101 characters)")],
    )
    def test_text_of_the_request_is_cut_after_100_characters(self, length: int, quotation: str) -> None:
        refused = refusal(verifier(), PATH, "v1", token(header(kid="k" * length)))
        assert f"signed with the key {quotation}, which" in refused.hint

    @pytest.mark.parametrize(
        ("token_", "told"),
        [
            (token(claims=claims(aud="/invoke/A/b")), f"signed for '/invoke/A/b', but the path is '{PATH}'"),
            (token(claims=claims(nbf=NOW + 70, iat=NOW + 70, exp=NOW + 99)), "becomes valid in 70 s"),
            (token(claims=claims(nbf=NOW - 145, iat=NOW - 145)), "issued 145 s ago, at most 100 s allowed"),
            (token(claims=claims(nbf=0, iat=0, exp=NOW - 140)), "expired 140 s ago"),
            (token(header(alg="HS256")), "alg is 'HS256'; Restate signs with 'EdDSA' only"),
            (token(header(kid=None)), "the token names no key, in a"),
            (token(header(kid=FOREIGN_KEY)), f"not configured here ({KEY}): another"),
            ("x" * 20_000, "has 20000 characters, at most 16384 are read"),
            (f"{token()},", "the header x-restate-jwt-v1 has more than one value"),
        ],
    )
    def test_it_says_what_is_wrong_and_by_how_much(self, token_: str, told: str) -> None:
        assert told in refusal(verifier(max_token_age=100), PATH, "v1", token_).hint

    def test_a_reason_is_its_own_label(self) -> None:
        assert f"{Reason.UNKNOWN_KEY}" == str(Reason.UNKNOWN_KEY) == Reason.UNKNOWN_KEY.value == "unknown_key"
        assert Reason("unknown_key") is Reason.UNKNOWN_KEY

    def test_a_repeated_scheme_is_named(self) -> None:
        with pytest.raises(VerificationError, match="the header x-restate-signature-scheme has more than one value"):
            verifier().verify_signature(PATH, "v1, v1", token())

    @pytest.mark.parametrize(
        ("scheme", "told"),
        [
            ("v2", "is 'v2'"),
            ("s" * 16, f"is '{'s' * 16}'"),
            ("s" * 17, "has 17 characters"),
            (token(), "characters"),
        ],
    )
    def test_a_scheme_of_more_than_16_characters_may_be_the_token_and_is_not_repeated(
        self, scheme: str, told: str
    ) -> None:
        refused = refusal(verifier(), PATH, scheme, token())
        assert refused.hint.startswith("the signature scheme ")
        assert f"{told}; this version knows 'v1' only" in refused.hint
        assert (scheme[:8] in refused.hint) == (len(scheme) <= 16)


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.mark.parametrize("tail", [0, 1, 2, 3])
def test_of_the_last_characters_of_a_part_only_the_canonical_ones_are_accepted(tail: int) -> None:
    payload = next(part for n in range(4) if len(part := base64url(compact_json(claims(sub="x" * n)))) % 4 == 0)
    stem = payload + "A" * (tail - 1) if tail else payload[:-1]
    for character in ALPHABET:
        part = stem + character
        decoded = from_base64url(part) if tail != 1 else b""
        is_canonical = tail != 1 and base64url(decoded) == part
        # Canonical or not, the claims are no JSON any more, or another one: only how far the token gets is compared.
        is_malformed = reason_of("v1", signed(HEADER, part)) is Reason.MALFORMED_TOKEN
        assert is_malformed is not is_canonical, part[-4:]
