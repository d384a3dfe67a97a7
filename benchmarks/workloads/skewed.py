"""Measure synthetic traffic over virtual objects: the hit rate of the cache, and the average cost of a check.

A token of an object handler belongs to one object key and one second. In every second, keys are drawn by Zipf's law
(the n-th most popular one with a probability proportional to 1/n).
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from typing import Any

from benchmarks.contenders import PATH, Contender, native, ours, prove
from benchmarks.measure import calls
from benchmarks.session import Outcome, Session
from benchmarks.signed import KeyPair, SignedRequest

OBJECTS = (10, 100, 1000, 10_000, 100_000)
CACHE_SIZES = (256, 1024, 4096, 16_384, 65_536)


def objects(session: Session) -> Outcome:
    """Measure a verifier with a cache of the default size and more and more objects, and the native one."""
    scale = session.scale
    keys = [session.pair.public]
    outcome = Outcome({})
    cases = []
    peer = native(keys)
    prove(peer, session.pair)
    for count in OBJECTS:
        traffic = zipf_traffic(session.pair, count, scale.per_second, scale.seconds)
        contender = ours(keys, f"this project, {count:,} objects")
        prove(contender, session.pair)
        cases.append(calls(contender.name, contender.check, _all(contender, traffic), before=contender.forget))
        outcome.facts[contender.name] = facts(contender, traffic)
    # The native verifier has no cache, so its cost does not depend on the objects, and a tenth of the calls is enough.
    some = session.pair.distinct(PATH, max(1, scale.per_second * scale.seconds // 10))
    cases.append(calls(peer.name, peer.check, _all(peer, some)))
    outcome.samples = session.interleave(cases)
    rate = f"{scale.per_second:,} requests a second for {scale.seconds} seconds"
    outcome.notes.append(f"{rate}, cache of the default size, empty at the start of every sample")
    return outcome


def cache_sizes(session: Session) -> Outcome:
    """Measure the same traffic with larger and larger caches."""
    scale = session.scale
    traffic = zipf_traffic(session.pair, 10_000, scale.per_second, scale.seconds)
    outcome = Outcome({})
    cases = []
    for size in CACHE_SIZES:
        contender = ours([session.pair.public], f"cache_size={size:,}", cache_size=size)
        prove(contender, session.pair)
        cases.append(calls(contender.name, contender.check, _all(contender, traffic), before=contender.forget))
        outcome.facts[contender.name] = facts(contender, traffic)
    outcome.samples = session.interleave(cases)
    outcome.notes.append(f"{scale.per_second:,} requests a second for {scale.seconds} seconds")
    return outcome


def zipf_traffic(pair: KeyPair, count: int, per_second: int, seconds: int) -> list[SignedRequest]:
    """Return requests for *count* objects, beginning now, at *per_second*."""
    start = int(time.time())
    draw = random.Random(count)  # the same traffic in every run
    weights = list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))
    signed: dict[tuple[int, int], SignedRequest] = {}
    traffic = []
    for second in range(seconds):
        for key in draw.choices(range(count), cum_weights=weights, k=per_second):
            if (second, key) not in signed:
                signed[second, key] = pair.request(PATH, subject=f"object-{key:07}", now=start + second)
            traffic.append(signed[second, key])
    return traffic


def facts(contender: Contender, traffic: list[SignedRequest]) -> dict[str, Any]:
    """Return the hit rate of *contender*'s cache for *traffic*, starting with an empty cache."""
    contender.forget()
    for arguments in contender.arguments(traffic):
        contender.check(*arguments)
    counted = contender.counted()
    assert counted is not None
    distinct = len({request.token for request in traffic})
    return {
        "calls": len(traffic),
        "distinct tokens": distinct,
        "hits": counted.hits,
        "misses": counted.misses,
        "hit rate": counted.hits / len(traffic),
    }


def _all(contender: Contender, traffic: list[SignedRequest]) -> Callable[[], list[tuple[Any, ...]]]:
    return lambda: contender.arguments(traffic)
