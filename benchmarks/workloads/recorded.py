"""Replay traffic of a real Restate server: half for a service handler, half for an object handler with 200 keys."""

from __future__ import annotations

import time
from typing import Any

from benchmarks import recording
from benchmarks.contenders import LIBSODIUM, NATIVE, SEEN, Contender, libsodium, native, ours, prove
from benchmarks.measure import calls
from benchmarks.recording import RecordedRequest, Recording
from benchmarks.session import Outcome, Session
from benchmarks.signed import KeyPair, SignedRequest
from benchmarks.workloads.skewed import facts
from restate_identity import IdentityVerifier


def run(session: Session) -> Outcome:
    """Replay the recording, starting with an empty cache.

    The native verifier uses the machine's clock, by which the recorded tokens have long expired. So each is signed
    again, with a key of this run and a later time; the same requests share a token as in the recording. Before that,
    the recorded tokens themselves are verified, with a clock set to the recording.
    """
    recorded = recording.read()
    traffic = recorded.requests[: session.scale.recorded]
    _verify_as_recorded(recorded.about["identity_key"], traffic)
    requests = _signed_anew(session.pair, traffic)
    keys = [session.pair.public]
    contenders = [ours(keys), native(keys)]
    for contender in contenders:
        prove(contender, session.pair)
    floor = libsodium(session.pair.public)
    prove(floor, session.pair)
    cases = [
        calls(contender.name, contender.check, _all(contender, requests), before=contender.forget)
        for contender in contenders
    ]
    some = list({request.token: request for request in requests}.values())[: session.scale.slow]
    cases.append(calls(floor.name, floor.check, _all(floor, some)))
    outcome = Outcome({}, facts={SEEN: facts(contenders[0], requests), **_handlers(Recording(recorded.about, traffic))})
    outcome.samples = session.interleave(cases)
    outcome.notes.append(
        f"{recorded.about['server']}, {recorded.about['calls_per_second']:,} calls a second; "
        f"{NATIVE} checks every request in full, {LIBSODIUM} is the mean of the distinct tokens"
    )
    return outcome


def _verify_as_recorded(identity_key: str, traffic: list[RecordedRequest]) -> None:
    now = 0.0
    verifier = IdentityVerifier([identity_key], clock=lambda: now)
    for request in traffic:
        now = request.at
        verifier.verify_signature(request.path, "v1", request.token)


def _signed_anew(pair: KeyPair, traffic: list[RecordedRequest]) -> list[SignedRequest]:
    """Return the same traffic, signed by *pair* as if it had begun now."""
    later = int(time.time()) - int(traffic[0].at)
    anew: dict[str, SignedRequest] = {}
    for request in traffic:
        if request.token not in anew:
            # The number stands for the object key: only whether keys differ matters, not the keys themselves.
            subject = f"key-{len(anew):05}" if request.path.startswith("/invoke/Account/") else None
            anew[request.token] = pair.request(request.path, subject=subject, now=request.at + later)
    signed = [anew[request.token] for request in traffic]
    if len({request.token for request in signed}) != len(anew):
        raise AssertionError("two recorded tokens became one: the replay would be easier than the recording")
    return signed


def _handlers(recorded: Recording) -> dict[str, dict[str, Any]]:
    return {
        path: {
            "calls": sum(count for count, _ in seconds),
            "distinct tokens": sum(distinct for _, distinct in seconds),
            "seconds": len(seconds),
            "distinct tokens a second": sum(distinct for _, distinct in seconds) / len(seconds),
            "each second": seconds,
        }
        for path, seconds in recording.distinct_per_second(recorded.requests).items()
    }


def _all(contender: Contender, requests: list[SignedRequest]) -> Any:
    return lambda: contender.arguments(requests)
