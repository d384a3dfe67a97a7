"""Plant a bug in a reader, to show that the fuzzer finds it. Each function takes an attempt and breaks it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from fuzz.attempt import Attempt
from fuzz.destinations import Destination
from fuzz.seeds import NOW
from restate_identity import Identity
from restate_identity.encryption import EncryptionError

_leaked: list[bytearray] = []


def exception(data: bytes, attempt: Attempt) -> Attempt:
    """Return whether two characters are in their places; a fuzzer guided by branches finds them one by one."""

    def call() -> object:
        # One branch for each character.
        if data[:1] != b"B":
            return attempt.call()
        if data[1:2] != b"U":
            return attempt.call()
        raise KeyError("planted")
        return attempt.call()

    return attempt._replace(call=call)


def forgery(data: bytes, attempt: Attempt) -> Attempt:  # noqa: ARG001
    """Accept refused requests, as a reader without a signature check would."""
    forged = Identity("publickeyv1_x", "", None, NOW, NOW - 60, NOW + 60)

    def call() -> object:
        outcome = attempt.call()
        return outcome if isinstance(outcome, Identity) else forged

    return attempt._replace(call=call)


def verdict(data: bytes, attempt: Attempt) -> Attempt:  # noqa: ARG001
    """Let one of the implementations of Ed25519 accept what the others refuse."""
    return attempt._replace(call=lambda: [*attempt.call(), (True, True)])


def plaintext(data: bytes, attempt: Attempt) -> Attempt:
    """Give back refused values as they are, as a reader that takes them for plaintext would."""

    def call() -> object:
        outcome = attempt.call()
        return data if isinstance(outcome, EncryptionError) else outcome

    return attempt._replace(call=call)


def openness(data: bytes, attempt: Attempt) -> Attempt:  # noqa: ARG001
    """Dial what a network of the allow-list has in it, without a second look at the address."""

    def call() -> object:
        outcome = attempt.call()
        if isinstance(outcome, Destination):
            return outcome._replace(is_dialled=outcome.may_be_dialled)
        return outcome

    return attempt._replace(call=call)


def slowness(data: bytes, attempt: Attempt) -> Attempt:
    """Do a thousand times the work for inputs with one line too many."""

    def call() -> object:
        if data.count(b"\n") > 10:
            hashlib.pbkdf2_hmac("sha256", data, b"", 20_000)
        return attempt.call()

    return attempt._replace(call=call)


def leak(data: bytes, attempt: Attempt) -> Attempt:  # noqa: ARG001
    """Keep some memory for every input."""
    _leaked.append(bytearray(b"x" * 100_000))
    return attempt


BUGS: dict[str, tuple[str, Callable[[bytes, Attempt], Attempt]]] = {
    "exception": ("key", exception),
    "forgery": ("token", forgery),
    "verdict": ("signature", verdict),
    "plaintext": ("encrypted_value", plaintext),
    "openness": ("destination", openness),
    "slowness": ("token", slowness),
    "leak": ("token", leak),
}
"""Each bug, and the target that it is planted in."""
