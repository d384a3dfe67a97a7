"""Requests that a real Restate server signed, with all their headers; the vectors hold two of them, and forgeries."""

from __future__ import annotations

from urllib.parse import unquote

from restate_identity import IdentityVerifier, signed_path
from tests.support.recorded_requests import RECORDING, REQUESTS, header


def test_the_signed_subject_is_the_object_key_that_the_server_also_sends_unsigned() -> None:
    verifier = IdentityVerifier([RECORDING["identity_key"]], clock=lambda: RECORDING["captured_from"])
    keys = set()
    for request in REQUESTS:
        sent = header(request, "x-restate-service-key")
        expected = None if sent is None else unquote(sent, errors="strict")
        identity = verifier.verify(request["path"], request["headers"])
        assert (identity.audience, identity.subject) == (signed_path(request["path"]), expected)
        keys.add(expected)
    assert {None, "a/b", "%2F..%2f", "a b+c&d=e", "emoji-\U0001f600", "\u65e5\u672c\u8a9e"} <= keys
