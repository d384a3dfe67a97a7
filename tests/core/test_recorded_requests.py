"""Requests that a real Restate server signed are accepted, and changed ones are refused."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from restate_identity import IdentityVerifier, Reason, VerificationError, signed_path
from tests.support.base64url import base64url, from_base64url
from tests.support.recorded_requests import RECORDING, REQUESTS, header


def verifier(now: float) -> IdentityVerifier:
    return IdentityVerifier([RECORDING["identity_key"]], clock=lambda: now)


def test_there_are_248_of_them() -> None:
    assert len(REQUESTS) == 248


@pytest.mark.parametrize("now", [RECORDING["captured_from"], RECORDING["captured_until"]])
def test_every_one_is_accepted_at_its_time(now: int) -> None:
    subject = verifier(now)
    for request in REQUESTS:
        identity = subject.verify(request["path"], request["headers"])
        assert identity.key == RECORDING["identity_key"]
        assert identity.audience == signed_path(request["path"])
        assert identity.not_before <= now < identity.expires_at


def test_the_signed_subject_is_the_object_key_that_the_server_also_sends_unsigned() -> None:
    subject = verifier(RECORDING["captured_from"])
    keys = set()
    for request in REQUESTS:
        sent = header(request, "x-restate-service-key")
        expected = None if sent is None else unquote(sent, errors="strict")
        assert subject.verify(request["path"], request["headers"]).subject == expected
        keys.add(expected)
    assert {None, "a/b", "%2F..%2f", "a b+c&d=e", "emoji-\U0001f600", "\u65e5\u672c\u8a9e"} <= keys


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (RECORDING["captured_until"] + 61, Reason.EXPIRED),
        (RECORDING["captured_until"] + 10**8, Reason.EXPIRED),
        (RECORDING["captured_from"] - 61, Reason.NOT_YET_VALID),
    ],
)
def test_every_one_is_refused_outside_its_window(now: int, reason: Reason) -> None:
    subject = verifier(now)
    for request in REQUESTS:
        with pytest.raises(VerificationError) as refusal:
            subject.verify(request["path"], request["headers"])
        assert refusal.value.reason is reason


def test_every_one_is_refused_at_another_path() -> None:
    subject = verifier(RECORDING["captured_from"])
    for request in REQUESTS:
        for path in (request["path"] + "/", request["path"].upper(), "/invoke/Other/handler", "/health"):
            with pytest.raises(VerificationError) as refusal:
                subject.verify(path, request["headers"])
            assert refusal.value.reason is Reason.WRONG_AUDIENCE


def test_every_one_is_refused_with_a_bit_of_its_signature_flipped() -> None:
    subject = verifier(RECORDING["captured_from"])
    for number, request in enumerate(REQUESTS):
        signed, _, signature = str(header(request, "x-restate-jwt-v1")).rpartition(".")
        raw = bytearray(from_base64url(signature))
        raw[number % 64] ^= 1 << number % 8
        forged = base64url(raw)
        with pytest.raises(VerificationError) as refusal:
            subject.verify_signature(request["path"], "v1", f"{signed}.{forged}")
        assert refusal.value.reason is Reason.BAD_SIGNATURE
