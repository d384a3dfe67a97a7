"""Tokens that are meant to harm the verifier, not to be accepted."""

from __future__ import annotations

import subprocess
import sys
import threading

from restate_identity import Reason, VerificationError
from tests.support.forge import PATH, token, verifier

# Python's JSON parser recurses in C, and the stack of a server's thread may be small (1 MiB and less).
ON_A_SMALL_STACK = """
import threading
from restate_identity import VerificationError
from tests.support.base64url import base64url
from tests.support.forge import PATH, verifier

def judge(header):
    try:
        verifier().verify_signature(PATH, "v1", base64url(header) + ".e30.AAAA")
    except VerificationError as refusal:
        print(refusal.reason)

threading.stack_size(64 * 1024)
for header in (b'{"x":' + b"[" * 12_000, b'{"x":' + b"[" * 700, b'{"":' * 190):
    thread = threading.Thread(target=judge, args=[header])
    thread.start()
    thread.join()
"""


def test_brackets_cannot_exhaust_the_stack_of_a_thread() -> None:
    done = subprocess.run([sys.executable, "-c", ON_A_SMALL_STACK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["malformed_token"] * 3), done.stderr


def test_claims_that_nest_deeper_than_json_can_be_parsed_are_refused() -> None:
    deep = token(claims=b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}")
    reasons = []

    def judge() -> None:
        try:
            verifier().verify_signature(PATH, "v1", deep)
        except VerificationError as refusal:
            reasons.append(refusal.reason)

    # From Python 3.14 on what counts is how much stack is left; before, a fixed number of levels, for any stack.
    usual = threading.stack_size(256 * 1024 if sys.version_info >= (3, 14) else 0)
    try:
        thread = threading.Thread(target=judge)
        thread.start()
    finally:
        threading.stack_size(usual)
    thread.join()
    assert reasons == [Reason.MALFORMED_CLAIMS]
