"""Measure refusals: how much work an attacker can cause."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.contenders import PATH, Contender, libsodium, native, ours, prove
from benchmarks.measure import calls
from benchmarks.session import Outcome, Session
from benchmarks.signed import KeyPair, SignedRequest, request, with_signature_changed
from restate_identity.verifier import MAX_TOKEN_SIZE

BEFORE_CRYPTOGRAPHY = (
    "unsigned",
    "no token",
    "unknown key",
    "malformed: not three parts",
    "malformed: not base64url",
    "malformed: header not JSON",
)
"""Requests of ordinary size, for the budget."""
LARGE = ("malformed: header of 16 KiB", "malformed: header nested 12,000 deep")
"""The most expensive requests within the limit on the size of a token."""


def run(session: Session) -> Outcome:
    """Time each refusal, by this project and by the native verifier, beside libsodium's check of a genuine token."""
    pair, count = session.pair, session.scale.slow
    genuine = pair.distinct(PATH, count)
    other = KeyPair()
    refused: dict[str, list[SignedRequest]] = {
        "unsigned": [request(PATH, None, subject="alice", scheme="unsigned")] * count,
        "no token": [request(PATH, None, subject="alice")] * count,
        "unknown key": other.distinct(PATH, count),
        "malformed: not three parts": [_with(each, each.token.rsplit(".", 1)[0]) for each in genuine],
        "malformed: not base64url": [_with(each, each.token[:-1] + "=") for each in genuine],
        "malformed: header not JSON": [_with(each, each.token[4:]) for each in genuine],
        "malformed: header of 16 KiB": [_with(each, _padded("A", each.token)) for each in genuine],
        "malformed: header nested 12,000 deep": [_with(each, _padded("W1tb", each.token)) for each in genuine],
        "bad signature": [_with(each, with_signature_changed(each.token)) for each in genuine],
        "expired": [pair.request(PATH, subject=f"{number}", now=1_700_000_000, leeway=60) for number in range(count)],
        "wrong audience": [_elsewhere(pair, number) for number in range(count)],
    }
    floor = libsodium(pair.public)
    prove(floor, pair)
    cases = [calls(floor.name, floor.check, lambda: floor.arguments(genuine))]
    for contender in (ours([pair.public]), native([pair.public])):
        prove(contender, pair)
        label = contender.name.split(":")[0].split(",")[0]
        for what, requests in refused.items():
            # Refusals without cryptography are as fast as a token that was seen before, so they use as many calls.
            batch = requests * (session.scale.fast // count if what in BEFORE_CRYPTOGRAPHY else 1)
            cases.append(
                calls(
                    f"{label}: {what}",
                    contender.check,
                    _arguments(contender, what, batch),
                    before=contender.forget,
                    refuses=True,
                )
            )
    return Outcome(session.interleave(cases, turns=session.scale.turns))


def _arguments(contender: Contender, what: str, batch: Sequence[SignedRequest]) -> Callable[[], list[tuple[Any, ...]]]:
    if contender.counted() is None or what not in ("unsigned", "no token"):
        return lambda: contender.arguments(batch)
    scheme = "unsigned" if what == "unsigned" else "v1"
    return lambda: list(itertools.repeat((PATH, scheme, None), len(batch)))


def _with(genuine: SignedRequest, token: str) -> SignedRequest:
    subject = dict(genuine.headers)[b"x-restate-service-key"].decode()
    return request(genuine.path, token, subject=subject)


def _elsewhere(pair: KeyPair, number: int) -> SignedRequest:
    return pair.request("/invoke/Counter/reset", subject=f"object-{number}")._replace(path=PATH)


def _padded(repeated: str, token: str) -> str:
    rest = token.split(".", 1)[1]
    room = (MAX_TOKEN_SIZE - len(rest) - 1) // 4 * 4
    return (repeated * room)[:room] + "." + rest
