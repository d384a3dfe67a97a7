"""Every refusal, by its exact reason, beside a twin that differs in that one thing and is accepted.

A case is (what is wrong, the scheme and token refused, the reason, the scheme and token accepted).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

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
    raw_claims,
    raw_header,
    signed,
    token,
    verifier,
)


class Case(NamedTuple):
    wrong: str
    reason: Reason
    refused: tuple[Any, Any]
    accepted: tuple[str, str] = ("v1", token())


def refused_token(wrong: str, reason: Reason, refused: str, accepted: str | None = None) -> Case:
    return Case(wrong, reason, ("v1", refused), ("v1", accepted or token()))


def bad_header(wrong: str, refused: dict[str, Any] | bytes, accepted: dict[str, Any] | bytes | None = None) -> Case:
    return refused_token(wrong, Reason.MALFORMED_TOKEN, token(refused), token(accepted))


def bad_claims(wrong: str, refused: dict[str, Any] | bytes, accepted: dict[str, Any] | bytes | None = None) -> Case:
    return refused_token(wrong, Reason.MALFORMED_CLAIMS, token(claims=refused), token(claims=accepted))


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


HEADER, PAYLOAD, SIGNATURE = token().split(".")
# As many characters as make the JOSE header's base64url 1,024 long.
HEADER_FILL = 768 - len(compact_json(header(x="")))
SIGNATURE_BYTES = from_base64url(SIGNATURE)


def with_signature(wrong: str, signature: str, payload: dict[str, Any] | bytes | None = None) -> Case:
    """The genuine header, with a signature that is not the one of this payload."""
    unsigned = token(claims=payload).rpartition(".")[0]
    return refused_token(wrong, Reason.BAD_SIGNATURE, f"{unsigned}.{signature}")


# A payload whose base64url ends in a character with bits to spare, so that those bits can be set.
UNEVEN = next(part for n in range(3) if len(part := base64url(compact_json(claims(sub="x" * n)))) % 4 == 2)
SPARE_BITS_SET = UNEVEN[:-1] + chr(ord(UNEVEN[-1]) + 1)
STANDARD_ALPHABET = base64url(compact_json(claims(sub="\u00ff\u00ff>>>???")))
BIG = "x" * 11_900

CASES = [
    Case("no scheme", Reason.MISSING_SCHEME, (None, token())),
    Case("an empty scheme", Reason.MISSING_SCHEME, ("", token())),
    Case("neither header", Reason.MISSING_SCHEME, (None, None)),
    Case("a server without a key", Reason.UNSIGNED, ("unsigned", token())),
    Case("a server without a key, no token", Reason.UNSIGNED, ("unsigned", None)),
    Case("a newer scheme", Reason.UNSUPPORTED_SCHEME, ("v2", token())),
    Case("the scheme in upper case", Reason.UNSUPPORTED_SCHEME, ("V1", token())),
    Case("a scheme with white space", Reason.UNSUPPORTED_SCHEME, (" v1", token())),
    Case("a scheme that is not ASCII", Reason.UNSUPPORTED_SCHEME, ("v\u00b9", token())),
    Case("no token", Reason.MISSING_TOKEN, ("v1", None)),
    Case("an empty token", Reason.MISSING_TOKEN, ("v1", "")),
    Case("the scheme repeated", Reason.REPEATED_HEADER, ("v1, v1", token())),
    Case("the scheme repeated, differing", Reason.REPEATED_HEADER, ("unsigned,v1", token())),
    Case("the token repeated", Reason.REPEATED_HEADER, ("v1", f"{token()}, {token()}")),
    Case("a second, empty token", Reason.REPEATED_HEADER, ("v1", f"{token()},")),
    Case("the scheme repeated, and no token", Reason.MISSING_TOKEN, ("v1, v1", None)),
    Case("the token in the place of the scheme", Reason.UNSUPPORTED_SCHEME, (token(), "v1")),
    Case("the token repeated beyond the size limit", Reason.REPEATED_HEADER, ("v1", ",".join([token()] * 100))),
    refused_token(
        "a token beyond 16 KiB",
        Reason.OVERSIZED_TOKEN,
        token(claims=claims(sub=BIG + "x" * 400)),
        token(claims=claims(sub=BIG)),
    ),
    refused_token("16 KiB and one character of garbage", Reason.OVERSIZED_TOKEN, "x" * (16 * 1024 + 1)),
    refused_token("16 KiB of garbage", Reason.MALFORMED_TOKEN, "x" * (16 * 1024)),
    # --- shape
    refused_token("one part", Reason.MALFORMED_TOKEN, HEADER),
    refused_token("two parts", Reason.MALFORMED_TOKEN, f"{HEADER}.{PAYLOAD}"),
    refused_token("four parts", Reason.MALFORMED_TOKEN, f"{HEADER}.{PAYLOAD}.{SIGNATURE}."),
    refused_token("five parts, as JWE has", Reason.MALFORMED_TOKEN, f"{HEADER}..{PAYLOAD}..{SIGNATURE}"),
    refused_token("an empty header", Reason.MALFORMED_TOKEN, f".{PAYLOAD}.{SIGNATURE}"),
    refused_token("only dots", Reason.MALFORMED_TOKEN, ".."),
    refused_token("a Bearer prefix", Reason.MALFORMED_TOKEN, "Bearer " + token()),
    refused_token("a leading space", Reason.MALFORMED_TOKEN, " " + token()),
    refused_token("a trailing line feed", Reason.MALFORMED_TOKEN, token() + "\n"),
    refused_token("a character that is not ASCII", Reason.MALFORMED_TOKEN, token()[:-1] + "\u00e9"),
    refused_token("half a surrogate pair", Reason.MALFORMED_TOKEN, token() + "\ud800"),
    refused_token("a NUL", Reason.MALFORMED_TOKEN, token() + "\0"),
    # --- encoding: all signed, so that only the encoding is wrong
    refused_token(
        "padding in the payload", Reason.MALFORMED_TOKEN, signed(HEADER, UNEVEN + "=="), signed(HEADER, UNEVEN)
    ),
    refused_token("padding in the header", Reason.MALFORMED_TOKEN, signed(HEADER + "=", PAYLOAD)),
    refused_token("padding in the signature", Reason.MALFORMED_TOKEN, token() + "=="),
    refused_token(
        "spare bits in the payload", Reason.MALFORMED_TOKEN, signed(HEADER, SPARE_BITS_SET), signed(HEADER, UNEVEN)
    ),
    refused_token("spare bits in the signature", Reason.MALFORMED_TOKEN, token()[:-1] + chr(ord(token()[-1]) + 1)),
    refused_token(
        "the standard alphabet",
        Reason.MALFORMED_TOKEN,
        signed(HEADER, STANDARD_ALPHABET.replace("-", "+").replace("_", "/")),
        signed(HEADER, STANDARD_ALPHABET),
    ),
    refused_token(
        "a line break in the payload", Reason.MALFORMED_TOKEN, signed(HEADER, PAYLOAD[:40] + "\n" + PAYLOAD[40:])
    ),
    refused_token("a length that no bytes have", Reason.MALFORMED_TOKEN, signed(HEADER, "A" * 5)),
    # --- JOSE header
    bad_header("a header that is not JSON", b"not JSON"),
    bad_header("a header that is an array", b"[1]"),
    bad_header("a header that is null", b"null"),
    bad_header("a header that is not UTF-8", raw_header(',"x":"') + b'\xff"}'),
    bad_header("a header with a byte order mark", b"\xef\xbb\xbf" + compact_json(header())),
    bad_header("a header with something after it", compact_json(header()) + b"{}", compact_json(header()) + b" \n"),
    bad_header("a repeated member", raw_header(f',"kid":"{KEY}"'), raw_header(f',"kid2":"{KEY}"')),
    bad_header("a repeated unknown member", raw_header(',"x":1,"x":1'), raw_header(',"x":1,"y":1')),
    bad_header("a repeated member spelt with an escape", raw_header(f',"\\u006bid":"{KEY}"')),
    bad_header("a repetition in a nested object", raw_header(',"x":{"a":1,"a":1}'), raw_header(',"x":{"a":1,"b":1}')),
    bad_header("NaN", raw_header(',"x":NaN'), raw_header(',"x":0')),
    bad_header("Infinity", raw_header(',"x":-Infinity'), raw_header(',"x":-1')),
    bad_header("a number beyond the floats", raw_header(',"x":1e999'), raw_header(',"x":1e99')),
    bad_header("half a surrogate pair", raw_header(',"x":"\\ud83d"'), raw_header(',"x":"\\ud83d\\ude00"')),
    bad_header("nesting beyond 32", raw_header(f',"x":{nested(32)}'), raw_header(f',"x":{nested(31)}')),
    bad_header(
        "more than 32 brackets", raw_header(',"x":[' + "{}," * 31 + "1]"), raw_header(',"x":[' + "{}," * 30 + "1]")
    ),
    refused_token(
        "a JOSE header beyond 1 KiB",
        Reason.MALFORMED_TOKEN,
        token(header(x="x" * (HEADER_FILL + 1))),
        token(header(x="x" * HEADER_FILL)),
    ),
    bad_header("another typ", header(typ="at+jwt"), header(typ=None)),
    bad_header("typ in lower case", header(typ="jwt"), header(typ="JWT")),
    bad_header("a typ that is no string", header(typ=1)),
    bad_header("a typ that is null", raw_header("").replace(b'"JWT"', b"null")),
    *(
        bad_header(f"the member {name}", header(**{name: value}), header(**{f"x-{name}": value}))
        for name, value in {
            "crit": ["exp"],
            "b64": True,
            "jwk": {"kty": "OKP"},
            "jku": "https://example.org/keys",
            "x5c": ["MIIB"],
            "x5u": "https://example.org/cert",
        }.items()
    ),
    # --- algorithm
    *(
        refused_token(f"the algorithm {alg!r}", Reason.UNSUPPORTED_ALGORITHM, token(header(alg=alg)))
        for alg in (
            "none",
            "None",
            "HS256",
            "ES256",
            "RS256",
            "Ed448",
            "Ed25519",
            "eddsa",
            "EDDSA",
            "",
            None,
            1,
            ["EdDSA"],
        )
    ),
    refused_token(
        "no algorithm and no signature",
        Reason.UNSUPPORTED_ALGORITHM,
        f"{base64url(compact_json(header(alg='none')))}.{PAYLOAD}.",
    ),
    # --- key
    refused_token("a key that is not configured", Reason.UNKNOWN_KEY, token(header(kid=FOREIGN_KEY), foreign=True)),
    refused_token("our signature under another's name", Reason.UNKNOWN_KEY, token(header(kid=FOREIGN_KEY))),
    refused_token("no kid", Reason.UNKNOWN_KEY, token(header(kid=None))),
    refused_token("a kid that is no string", Reason.UNKNOWN_KEY, token(header(kid=[KEY]))),
    refused_token("a kid that is a prefix", Reason.UNKNOWN_KEY, token(header(kid=KEY[:-1]))),
    refused_token("a kid in another case", Reason.UNKNOWN_KEY, token(header(kid=KEY.upper()))),
    refused_token("a kid with white space", Reason.UNKNOWN_KEY, token(header(kid=KEY + " "))),
    # --- signature
    refused_token("another's signature under our name", Reason.BAD_SIGNATURE, token(foreign=True)),
    refused_token("no signature", Reason.BAD_SIGNATURE, f"{HEADER}.{PAYLOAD}."),
    with_signature("a signature cut short", base64url(SIGNATURE_BYTES[:63])),
    with_signature("a signature with a byte added", base64url(SIGNATURE_BYTES + b"\0")),
    with_signature("a signature of zeros", base64url(bytes(64))),
    with_signature("half a signature, twice", base64url(SIGNATURE_BYTES[:32] * 2)),
    with_signature("another token's signature", token(claims=claims(sub="a")).rpartition(".")[2]),
    with_signature("a changed subject", SIGNATURE, payload=claims(sub="admin")),
    with_signature("claims that are not JSON, and not signed", SIGNATURE, payload=b"{"),
    # --- claims
    bad_claims("claims that are not JSON", b"not JSON"),
    bad_claims("no claims", b""),
    bad_claims("claims that are an array", compact_json([claims()])),
    bad_claims("claims that are a string", b'"aud"'),
    bad_claims("claims that are not UTF-8", raw_claims(',"x":"') + b'\xff"}'),
    bad_claims("a control character in a string", raw_claims(',"sub":"\t"'), raw_claims(',"sub":"\\t"')),
    bad_claims("a repeated claim", raw_claims(f',"exp":{NOW + 60}'), raw_claims(f',"exp2":{NOW + 60}')),
    bad_claims("a repeated subject", raw_claims(',"sub":"a","sub":"b"'), raw_claims(',"sub":"a"')),
    bad_claims("NaN", raw_claims(',"x":NaN'), raw_claims(',"x":1.5')),
    bad_claims("a number beyond the floats", raw_claims(',"x":-1e999'), raw_claims(',"x":-1e9')),
    bad_claims("a number beyond what is converted", raw_claims(',"x":' + "9" * 5000), raw_claims(',"x":' + "9" * 500)),
    bad_claims("half a surrogate pair in sub", raw_claims(',"sub":"\\udc00"'), raw_claims(',"sub":"\\\\udc00"')),
    bad_claims("half a surrogate pair in a name", raw_claims(',"\\udc00":1'), raw_claims(',"\\u00dc":1')),
    bad_claims("half a surrogate pair as UTF-8", raw_claims(',"sub":"\ud800"'), raw_claims(',"sub":"\U0001f600"')),
    bad_claims("nesting beyond 32", raw_claims(f',"x":{nested(32)}'), raw_claims(f',"x":{nested(31)}')),
    bad_claims(
        "objects nested beyond 32",
        raw_claims(',"x":' + '{"":' * 32 + "1" + "}" * 32),
        raw_claims(',"x":' + '{"":' * 31 + "1" + "}" * 31),
    ),
    bad_claims("nesting that would exhaust the stack", raw_claims(f',"x":{nested(5000)}')),
    bad_claims("no aud", claims(aud=None)),
    bad_claims("an array of one aud", claims(aud=[PATH])),
    bad_claims("an aud that is no string", claims(aud=1)),
    bad_claims("an aud that is null", raw_claims(',"aud":null').replace(f'"aud":"{PATH}",'.encode(), b"")),
    bad_claims("a sub that is no string", claims(sub=1), claims(sub="1")),
    bad_claims("a sub that is null", raw_claims(',"sub":null'), raw_claims(',"sub":"null"')),
    bad_claims("a sub that is an array", claims(sub=["a"]), claims(sub="")),
    *(
        case
        for name in ("nbf", "iat", "exp")
        for genuine in [claims()[name]]
        for case in (
            bad_claims(f"no {name}", claims(**{name: None})),
            bad_claims(f"{name} as a float", claims(**{name: genuine + 0.5})),
            bad_claims(f"{name} as a whole float", claims(**{name: float(genuine)})),
            bad_claims(f"{name} with an exponent", compact_json(claims()).replace(str(genuine).encode(), b"1e9")),
            bad_claims(f"{name} as text", claims(**{name: str(genuine)})),
            bad_claims(f"{name} as a bool", claims(**{name: True})),
            bad_claims(f"{name} as an array", claims(**{name: [genuine]})),
        )
    ),
    bad_claims("exp beyond 2**53", claims(exp=2**53), claims(exp=2**53 - 1)),
    bad_claims("nbf before 1970", claims(nbf=-1), claims(nbf=0)),
    bad_claims("an exp that no float holds", claims(exp=10**400)),
    bad_claims("nbf after iat", claims(nbf=NOW, iat=NOW - 1), claims(nbf=NOW, iat=NOW)),
    bad_claims("iat after exp", claims(iat=NOW + 61), claims(iat=NOW + 60)),
    # --- time and audience
    refused_token("a token from the future", Reason.NOT_YET_VALID, token(claims=claims(nbf=NOW + 1, iat=NOW + 1))),
    refused_token("an expired token", Reason.EXPIRED, token(claims=claims(exp=NOW)), token(claims=claims(exp=NOW + 1))),
    refused_token(
        "a token for another handler", Reason.WRONG_AUDIENCE, token(claims=claims(aud="/invoke/Greeter/admin"))
    ),
    refused_token("a token for discovery", Reason.WRONG_AUDIENCE, token(claims=claims(aud="/discover"))),
    refused_token("an audience with a prefix", Reason.WRONG_AUDIENCE, token(claims=claims(aud="/mounted" + PATH))),
    refused_token("an audience with a query", Reason.WRONG_AUDIENCE, token(claims=claims(aud=PATH + "?a=1"))),
    refused_token("an audience with a trailing slash", Reason.WRONG_AUDIENCE, token(claims=claims(aud=PATH + "/"))),
    refused_token("an audience in another case", Reason.WRONG_AUDIENCE, token(claims=claims(aud=PATH.lower()))),
    refused_token("an empty audience", Reason.WRONG_AUDIENCE, token(claims=claims(aud=""))),
]


def reason_of(scheme: Any, token_: Any, path: str = PATH) -> Reason | None:
    try:
        verifier().verify_signature(path, scheme, token_)
    except VerificationError as error:
        return error.reason
    return None


@pytest.mark.parametrize("case", CASES, ids=[case.wrong for case in CASES])
def test_it_is_refused_for_its_reason_and_its_twin_is_accepted(case: Case) -> None:
    assert reason_of(*case.refused) is case.reason
    assert reason_of(*case.accepted) is None


def test_a_token_that_is_too_old_is_refused_and_a_younger_one_accepted() -> None:
    old, young = token(claims=claims(iat=NOW - 31)), token(claims=claims(iat=NOW - 30))
    subject = verifier(max_token_age=30)
    with pytest.raises(VerificationError) as refusal:
        subject.verify_signature(PATH, "v1", old)
    assert refusal.value.reason is Reason.TOO_OLD
    assert subject.verify_signature(PATH, "v1", young).issued_at == NOW - 30


def test_every_reason_is_produced_by_a_case_of_this_file() -> None:
    assert {case.reason for case in CASES} | {Reason.TOO_OLD} == set(Reason)


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


def test_unknown_members_and_claims_are_ignored_so_that_a_newer_server_still_works() -> None:
    newer = token(header(cty="x", ver=2, nested={"a": [1]}), claims(iss="restate", jti="1", ctx={"a": [{"b": None}]}))
    assert reason_of("v1", newer) is None


def test_a_time_of_zero_is_a_time_in_whatever_order_the_claims_come() -> None:
    since_1970 = claims(nbf=0, iat=0)
    for members in (since_1970, dict(reversed(since_1970.items()))):
        assert reason_of("v1", token(claims=members)) is None


def test_white_space_and_another_order_in_json_change_nothing() -> None:
    loose = token(
        json.dumps(dict(reversed(header().items())), indent=1).encode(),
        json.dumps(dict(reversed(claims().items())), indent=1).encode(),
    )
    assert reason_of("v1", loose) is None


def test_a_genuine_header_written_with_escapes_names_the_same_key() -> None:
    escaped = compact_json(header()).replace(b'"kid":"p', b'"kid":"\\u0070')
    assert reason_of("v1", token(escaped)) is None


def test_whatever_bytes_a_payload_ends_with_its_encoding_is_canonical() -> None:
    for last in range(256):
        for length in (1, 2, 3):
            payload = b"x" * (length - 1) + bytes([last])
            assert reason_of("v1", token(claims=payload)) is Reason.MALFORMED_CLAIMS


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
    @pytest.mark.parametrize("case", CASES, ids=[case.wrong for case in CASES])
    def test_it_is_one_short_line_of_ascii_without_the_token(self, case: Case) -> None:
        with pytest.raises(VerificationError) as refusal:
            verifier().verify_signature(PATH, *case.refused)
        text = str(refusal.value)
        assert text == f"{case.reason.value}: {refusal.value.hint}"
        assert text.isascii()
        assert text.isprintable()
        assert len(text) < 700
        for part in (*str(case.refused[0]).split("."), *str(case.refused[1]).split(".")):
            assert len(part) < 20 or part[:20] not in text

    def test_control_characters_of_the_request_do_not_reach_it(self) -> None:
        with pytest.raises(VerificationError) as refusal:
            verifier().verify_signature("/a\n\x1b[31mFAKE", "v1", token())
        assert "\\n\\x1b[31mFAKE" in refusal.value.hint

    def test_a_wrong_audience_names_both_paths(self) -> None:
        with pytest.raises(VerificationError, match=f"signed for '{PATH}', but the path is '/invoke/A/b'"):
            verifier().verify_signature("/invoke/A/b", "v1", token())

    def test_an_unknown_key_names_the_one_used_and_the_ones_configured(self) -> None:
        with pytest.raises(VerificationError) as refusal:
            verifier().verify_signature(PATH, "v1", token(header(kid=FOREIGN_KEY), foreign=True))
        assert FOREIGN_KEY in refusal.value.hint
        assert KEY in refusal.value.hint

    def test_a_token_that_names_no_key_says_so(self) -> None:
        with pytest.raises(VerificationError, match="the token names no key, in a"):
            verifier().verify_signature(PATH, "v1", token(header(kid=None)))

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
        with pytest.raises(VerificationError) as refusal:
            verifier().verify_signature(PATH, scheme, token_)
        assert refusal.value.hint.startswith(told)

    @pytest.mark.parametrize(("path", "is_told"), [("/a/", True), ("/a", False), ("/", False), (b"/a/", False)])
    def test_of_an_unsigned_request_for_a_path_with_a_slash_at_the_end_it_says_that_exempt_paths_are_exact(
        self, path: Any, is_told: bool
    ) -> None:
        with pytest.raises(VerificationError) as refusal:
            verifier().verify_signature(path, None, None)
        assert refusal.value.hint.endswith("Exempt paths are exact, and this one ends with '/'") is is_told

    @pytest.mark.parametrize(("count", "others"), [(2, ""), (3, ""), (4, " and 1 more"), (200, " and 197 more")])
    def test_of_many_configured_keys_three_are_named(self, count: int, others: str) -> None:
        keys = [str(RequestSigner.generate().public_key) for _ in range(count)]
        with pytest.raises(VerificationError) as refusal:
            verifier(*keys).verify_signature(PATH, "v1", token())
        assert f"({', '.join(keys[:3])}{others})" in refusal.value.hint

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
        with pytest.raises(VerificationError) as refusal:
            verifier().verify_signature(PATH, "v1", token(header(kid=kid), foreign=True))
        assert (refusal.value.reason, refusal.value.kid) == (Reason.UNKNOWN_KEY, kid if is_told else None)

    @pytest.mark.parametrize(
        ("length", "quotation"),
        [(99, "'" + "k" * 99 + "'"), (100, "'" + "k" * 100 + "'"), (101, "'" + "k" * 100 + "'... (101 characters)")],
    )
    def test_text_of_the_request_is_cut_after_100_characters(self, length: int, quotation: str) -> None:
        with pytest.raises(VerificationError) as refusal:
            verifier().verify_signature(PATH, "v1", token(header(kid="k" * length)))
        assert f"signed with the key {quotation}, which" in refusal.value.hint

    def test_a_token_from_the_future_says_when_it_becomes_valid(self) -> None:
        future = token(claims=claims(nbf=100, iat=100, exp=200))
        with pytest.raises(VerificationError, match="becomes valid in 70 s"):
            verifier(now=30).verify_signature(PATH, "v1", future)

    def test_a_token_that_is_too_old_says_how_old_and_what_is_allowed(self) -> None:
        old = token(claims=claims(nbf=0, iat=10, exp=100))
        with pytest.raises(VerificationError, match="issued 45 s ago, at most 30 s allowed"):
            verifier(now=55, max_token_age=30).verify_signature(PATH, "v1", old)

    def test_an_oversized_token_says_how_large_and_what_is_read(self) -> None:
        with pytest.raises(VerificationError, match="has 20000 characters, at most 16384 are read"):
            verifier().verify_signature(PATH, "v1", "x" * 20_000)

    def test_an_unsupported_algorithm_is_named(self) -> None:
        with pytest.raises(VerificationError, match="alg is 'HS256'; Restate signs with 'EdDSA' only"):
            verifier().verify_signature(PATH, "v1", token(header(alg="HS256")))

    def test_an_expired_token_says_since_when(self) -> None:
        expired = token(claims=claims(nbf=0, iat=0, exp=60))
        with pytest.raises(VerificationError, match="expired 140 s ago"):
            verifier(now=200).verify_signature(PATH, "v1", expired)

    def test_a_reason_is_its_own_label(self) -> None:
        assert f"{Reason.UNKNOWN_KEY}" == str(Reason.UNKNOWN_KEY) == Reason.UNKNOWN_KEY.value == "unknown_key"
        assert Reason("unknown_key") is Reason.UNKNOWN_KEY

    @pytest.mark.parametrize(
        ("scheme", "token_", "named"),
        [("v1, v1", token(), "x-restate-signature-scheme"), ("v1", f"{token()},", "x-restate-jwt-v1")],
    )
    def test_a_repeated_header_is_named(self, scheme: str, token_: str, named: str) -> None:
        with pytest.raises(VerificationError, match=f"the header {named} has more than one value"):
            verifier().verify_signature(PATH, scheme, token_)

    def test_one_configured_key_is_named_alone(self) -> None:
        with pytest.raises(VerificationError, match=rf"not configured here \({KEY}\): another"):
            verifier().verify_signature(PATH, "v1", token(header(kid=FOREIGN_KEY), foreign=True))

    @pytest.mark.parametrize(
        ("scheme", "told"), [("s" * 16, f"is '{'s' * 16}'"), ("s" * 17, "has 17 characters"), (token(), "characters")]
    )
    def test_a_scheme_of_more_than_16_characters_may_be_the_token_and_is_not_repeated(
        self, scheme: str, told: str
    ) -> None:
        with pytest.raises(VerificationError) as refusal:
            verifier().verify_signature(PATH, scheme, token())
        assert refusal.value.hint.startswith("the signature scheme ")
        assert f"{told}; this version knows 'v1' only" in refusal.value.hint
        assert (scheme[:8] in refusal.value.hint) == (len(scheme) == 16)


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
