"""The public methods of `IdentityVerifier`: arguments, results and cache."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest

from restate_identity import (
    CacheInfo,
    Identity,
    IdentityVerifier,
    InvalidKeyError,
    PublicKey,
    Reason,
    VerificationError,
)
from tests.support.forge import FOREIGN_KEY, KEY, NOW, PATH, claims, header, refusal, token, verifier


def test_the_identity_says_what_was_signed() -> None:
    genuine = token(claims=claims(sub="alice"))
    assert verifier().verify_signature(PATH, "v1", genuine) == Identity(
        key=KEY, audience=PATH, subject="alice", issued_at=NOW, not_before=NOW - 60, expires_at=NOW + 60
    )


def test_a_service_without_an_object_key_has_no_subject() -> None:
    assert verifier().verify_signature(PATH, "v1", token()).subject is None


def test_an_identity_cannot_be_changed() -> None:
    identity = verifier().verify_signature(PATH, "v1", token())
    with pytest.raises(AttributeError):
        identity.subject = "bob"  # type: ignore[misc]


def test_odd_bytes_in_the_name_of_another_header_do_not_matter() -> None:
    headers = [(b"x-\xff", b"\xff"), (b"x" * 15 + b"\xff", b""), *HEADERS["pairs of bytes"](token())]
    assert verifier().verify(PATH, headers).audience == PATH


@pytest.mark.parametrize(
    "name", ["x-restate-signature-schemd", "x-restate-signature-schemf", "x-restate-jwt-v0", "x-restate-jwt-v2"]
)
def test_a_header_whose_name_is_as_long_is_another_one(name: str) -> None:
    headers = [(name, "another"), *HEADERS["pairs of text"](token())]
    assert verifier().verify(PATH, headers).audience == PATH


HEADERS: dict[str, Callable[[str], Any]] = {
    "a dict": lambda t: {"x-restate-signature-scheme": "v1", "x-restate-jwt-v1": t},
    "a dict with names in another case": lambda t: {"X-Restate-Signature-Scheme": "v1", "X-RESTATE-JWT-V1": t},
    "pairs of text": lambda t: [("x-restate-signature-scheme", "v1"), ("x-restate-jwt-v1", t)],
    "pairs of bytes": lambda t: [(b"x-restate-signature-scheme", b"v1"), (b"X-Restate-Jwt-V1", t.encode())],
    "a generator": lambda t: (pair for pair in [("x-restate-jwt-v1", t), ("x-restate-signature-scheme", "v1")]),
    "among others": lambda t: {"host": "x", "x-restate-signature-scheme": "v1", "accept": "*/*", "x-restate-jwt-v1": t},
}


@pytest.mark.parametrize("make", HEADERS.values(), ids=HEADERS.keys())
def test_headers_are_read_from(make: Callable[[str], Any]) -> None:
    assert verifier().verify(PATH, make(token())).audience == PATH


@pytest.mark.parametrize(
    "headers", [None, 5, "text", [1, 2], [("one",)], [(None, None)], {"x-restate-jwt-v1": None}, {5: 5}]
)
def test_headers_that_cannot_be_read_are_refused(headers: Any) -> None:
    with pytest.raises(VerificationError) as refusal:
        verifier().verify(PATH, headers)
    assert refusal.value.reason is Reason.MISSING_SCHEME


@pytest.mark.parametrize(
    ("path", "scheme", "token_", "reason"),
    [
        *((path, "v1", token(), Reason.WRONG_AUDIENCE) for path in (None, PATH.encode(), 5)),
        *((PATH, scheme, token(), Reason.UNSUPPORTED_SCHEME) for scheme in (["v1"], 1, b"v1", True)),
        *((PATH, "v1", value, Reason.MALFORMED_TOKEN) for value in (["a"], 5, b"bytes", {"a": 1}, True)),
    ],
)
def test_what_is_not_text_is_refused(path: Any, scheme: Any, token_: Any, reason: Reason) -> None:
    assert refusal(verifier(), path, scheme, token_).reason is reason


class TestKeys:
    @pytest.mark.parametrize("keys", [[], (), None, iter([])])
    def test_a_verifier_without_keys_cannot_be_built(self, keys: Any) -> None:
        with pytest.raises(ValueError, match="no identity key") as error:
            IdentityVerifier(keys)
        assert not isinstance(error.value, InvalidKeyError)

    @pytest.mark.parametrize("keys", [KEY, KEY.encode(), PublicKey.parse(KEY)])
    def test_a_single_key_that_is_not_in_a_list_is_a_type_error(self, keys: Any) -> None:
        with pytest.raises(TypeError, match=r"put the single key into one, \[key\]"):
            IdentityVerifier(keys)

    def test_a_bad_key_is_named_by_its_position(self) -> None:
        with pytest.raises(InvalidKeyError, match="identity key 2: an identity key begins with publickeyv1_"):
            IdentityVerifier([KEY, "oops"])

    def test_an_unset_variable_in_the_list_is_refused(self) -> None:
        with pytest.raises(InvalidKeyError, match="identity key 1: an identity key is text"):
            IdentityVerifier([None])  # type: ignore[list-item]

    def test_keys_are_taken_in_both_forms_and_once_each(self) -> None:
        assert verifier(KEY, FOREIGN_KEY, KEY).keys == (PublicKey.parse(KEY), PublicKey.parse(FOREIGN_KEY))
        assert IdentityVerifier([PublicKey.parse(KEY), KEY]).keys == (PublicKey.parse(KEY),)

    def test_every_configured_key_is_trusted(self) -> None:
        both = verifier(FOREIGN_KEY, KEY)
        foreign = token(header(kid=FOREIGN_KEY), foreign=True)
        assert both.verify_signature(PATH, "v1", token()).key == KEY
        assert both.verify_signature(PATH, "v1", foreign).key == FOREIGN_KEY


def test_options_are_given_by_name_only() -> None:
    assert IdentityVerifier(keys=[KEY]).keys == (PublicKey.parse(KEY),)
    with pytest.raises(TypeError):
        IdentityVerifier([KEY], 5.0)  # type: ignore[call-arg]


class TestReplacingKeys:
    def test_a_removed_keys_tokens_stop_at_once_although_they_were_cached(self) -> None:
        subject = verifier()
        subject.verify_signature(PATH, "v1", token())
        subject.replace_keys([FOREIGN_KEY])
        assert refusal(subject, PATH, "v1", token()).reason is Reason.UNKNOWN_KEY

    def test_an_added_keys_tokens_are_accepted_although_they_were_refused(self) -> None:
        subject = verifier(FOREIGN_KEY)
        with pytest.raises(VerificationError):
            subject.verify_signature(PATH, "v1", token())
        subject.replace_keys([FOREIGN_KEY, KEY])
        assert subject.verify_signature(PATH, "v1", token()).key == KEY

    @pytest.mark.parametrize("keys", [[], ["oops"], [KEY, None], "oops"])
    def test_bad_keys_leave_the_good_ones_in_force(self, keys: Any) -> None:
        subject = verifier()
        with pytest.raises((ValueError, TypeError)):
            subject.replace_keys(keys)
        assert subject.keys == (PublicKey.parse(KEY),)
        assert subject.verify_signature(PATH, "v1", token()).key == KEY


class TestTheCache:
    def test_a_token_seen_before_is_a_hit(self) -> None:
        subject = verifier()
        for _ in range(3):
            subject.verify_signature(PATH, "v1", token())
        assert subject.cache_info() == CacheInfo(hits=2, misses=1, maxsize=4096, currsize=1)

    @pytest.mark.parametrize(
        ("path", "scheme", "later", "reason"),
        [
            ("/invoke/Greeter/admin", "v1", 0, Reason.WRONG_AUDIENCE),
            (PATH, "unsigned", 0, Reason.UNSIGNED),
            (PATH, "v1", 60, Reason.EXPIRED),
            (PATH, "v1", 31, Reason.TOO_OLD),
        ],
    )
    def test_a_cached_token_is_still_judged_by_path_scheme_time_and_age(
        self, path: str, scheme: str, later: float, reason: Reason
    ) -> None:
        times = iter([NOW, NOW + later])
        subject = IdentityVerifier([KEY], max_token_age=30, clock=lambda: next(times))
        subject.verify_signature(PATH, "v1", token())
        assert refusal(subject, path, scheme, token()).reason is reason

    def test_nothing_that_is_refused_takes_a_place(self) -> None:
        subject = verifier(cache_size=4)
        subject.verify_signature(PATH, "v1", token())
        for number in range(100):
            forged = token(claims=claims(sub=str(number)), foreign=True)
            with pytest.raises(VerificationError):
                subject.verify_signature(PATH, "v1", forged)
        assert subject.cache_info().currsize == 1
        hits = subject.cache_info().hits
        subject.verify_signature(PATH, "v1", token())
        assert subject.cache_info().hits == hits + 1

    def test_it_is_bounded_by_its_size(self) -> None:
        subject = verifier(cache_size=4)
        for number in range(10):
            subject.verify_signature(PATH, "v1", token(claims=claims(sub=str(number))))
        assert subject.cache_info() == CacheInfo(hits=0, misses=10, maxsize=4, currsize=4)

    def test_a_token_with_a_long_object_key_is_accepted_and_not_kept(self) -> None:
        subject = verifier()
        for _ in range(2):
            identity = subject.verify_signature(PATH, "v1", token(claims=claims(sub="k" * 10_000)))
            assert identity.subject == "k" * 10_000
        assert subject.cache_info().currsize == 0
        subject.verify_signature(PATH, "v1", token(claims=claims(sub="k" * 300)))
        assert subject.cache_info().currsize == 1

    def test_a_token_of_1023_characters_is_kept_and_one_of_1025_is_not(self) -> None:
        lengths = {len(genuine): genuine for n in range(480, 560) for genuine in [token(claims=claims(sub="k" * n))]}
        for length, kept in ((1023, 1), (1025, 0)):
            subject = verifier()
            subject.verify_signature(PATH, "v1", lengths[length])
            assert subject.cache_info().currsize == kept

    def test_it_can_be_switched_off_without_switching_verification_off(self) -> None:
        subject = verifier(cache_size=0)
        subject.verify_signature(PATH, "v1", token())
        assert subject.cache_info() == CacheInfo(hits=0, misses=1, maxsize=0, currsize=0)
        with pytest.raises(VerificationError):
            subject.verify_signature(PATH, "v1", token(foreign=True))

    def test_its_size_may_be_any_number_below_2_to_the_31(self) -> None:
        assert verifier(cache_size=2**31 - 1).cache_info().maxsize == 2**31 - 1

    @pytest.mark.parametrize("size", [-1, None, 1.5, True, "4096", 2**31, 10**30])
    def test_its_size_is_a_number_of_tokens(self, size: Any) -> None:
        with pytest.raises(ValueError, match="cache_size is a number of tokens"):
            verifier(cache_size=size)


class TestTime:
    @pytest.mark.parametrize(
        ("now", "leeway", "reason"),
        [
            (NOW - 65.001, 5, Reason.NOT_YET_VALID),
            (NOW - 65, 5, None),
            (NOW + 64.999, 5, None),
            (NOW + 65, 5, Reason.EXPIRED),
            (math.nan, 0, Reason.EXPIRED),
            (math.inf, 0, Reason.EXPIRED),
            (-math.inf, 0, Reason.NOT_YET_VALID),
        ],
    )
    def test_the_window_is_half_open_and_widened_by_the_leeway(
        self, now: float, leeway: float, reason: Reason | None
    ) -> None:
        subject = verifier(now=now, leeway=leeway)
        if reason is None:
            assert subject.verify_signature(PATH, "v1", token()).issued_at == NOW
        else:
            assert refusal(subject, PATH, "v1", token()).reason is reason

    def test_a_maximum_age_counts_from_the_second_of_issue(self) -> None:
        assert verifier(now=NOW + 10, max_token_age=10).verify_signature(PATH, "v1", token()).issued_at == NOW
        assert refusal(verifier(now=NOW + 10.001, max_token_age=10), PATH, "v1", token()).reason is Reason.TOO_OLD

    def test_without_a_maximum_age_a_token_lives_until_it_expires(self) -> None:
        long_lived = token(claims=claims(exp=NOW + 10_000))
        assert verifier(now=NOW + 9_999).verify_signature(PATH, "v1", long_lived).expires_at == NOW + 10_000

    @pytest.mark.parametrize(
        ("option", "value"),
        list(
            itertools.product(["leeway", "max_token_age"], [-1, -0.001, math.nan, math.inf, "60", True, 2**53, 10**400])
        ),
    )
    def test_options_in_seconds_are_checked(self, option: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f"{option} is a number of seconds, 0 or more"):
            verifier(**{option: value})

    @pytest.mark.parametrize("value", [0, 60, 2**52, 2**53 - 1])
    def test_any_other_number_of_seconds_is_taken(self, value: int) -> None:
        assert verifier(leeway=value).verify_signature(PATH, "v1", token()).issued_at == NOW
        assert verifier(max_token_age=value or 0.001).verify_signature(PATH, "v1", token()).issued_at == NOW

    def test_an_age_that_no_token_can_have_on_arrival_is_a_mistake(self) -> None:
        for nothing in (0, 0.0):
            with pytest.raises(ValueError, match="max_token_age is more than 0 seconds"):
                verifier(max_token_age=nothing)

    @pytest.mark.parametrize("clock", [5, None, "now", 1_700_000_000.0])
    def test_a_clock_is_a_function(self, clock: Any) -> None:
        with pytest.raises(TypeError, match=f"clock is a function that returns Unix seconds, not {clock!r}"):
            IdentityVerifier([KEY], clock=clock)

    def test_no_leeway_is_not_none(self) -> None:
        with pytest.raises(ValueError, match="leeway"):
            verifier(leeway=None)

    def test_the_real_clock_is_the_default(self) -> None:
        refused = refusal(IdentityVerifier([KEY]), PATH, "v1", token(claims=claims(nbf=0, iat=0, exp=60)))
        assert refused.reason is Reason.EXPIRED
