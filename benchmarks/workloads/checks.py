"""Compare the contenders with genuine tokens: seen before, new, and with several keys configured."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.contenders import PATH, VERIFY, Contender, native, ours, prove, python_contenders
from benchmarks.measure import Case, calls
from benchmarks.node_peers import NodePeer, node_contenders
from benchmarks.session import Outcome, Session
from benchmarks.signed import KeyPair, SignedRequest

EVICTING = "this project: verify_signature, cache full"


def seen(session: Session) -> Outcome:
    """Check one token again and again: a service handler within one second."""
    request = session.pair.request("/invoke/Greeter/greet")
    contenders = python_contenders(session.pair)
    with ExitStack() as stack:
        peers, notes = _on_node(session, stack)
        cases = [_repeated(contender, request, session) for contender in contenders]
        cases += [peer.repeated(request, session.scale.slow) for peer in peers]
        samples = session.interleave(cases, turns=session.scale.turns)
    for contender in contenders:
        _count_misses(contender, expected=1)
    return Outcome(samples, notes=notes)


def new(session: Session) -> Outcome:
    """Check only new tokens: an object handler whose every call has another key. The cache is emptied in between.

    In one variant the cache is never emptied: it is smaller than the pool of tokens and always full, so every check
    also evicts a token.
    """
    scale = session.scale
    pool = session.pair.distinct(PATH, scale.pool)
    evicting = ours([session.pair.public], EVICTING, cache_size=scale.pool // 2)
    prove(evicting, session.pair)
    contenders = [*python_contenders(session.pair), evicting]
    with ExitStack() as stack:
        peers, notes = _on_node(session, stack)
        cases = [_distinct(contender, pool, scale.slow, keep=contender is evicting) for contender in contenders]
        cases += [peer.distinct(pool, scale.slow) for peer in peers]
        samples = session.interleave(cases, turns=session.scale.turns)
    counted = evicting.counted()
    if counted is None or counted.hits:
        raise AssertionError("a token that was to be new was in the cache")
    return Outcome(samples, notes=notes)


def keys(session: Session) -> Outcome:
    """Configure several keys; the signing key is the last one, the worst place for a verifier that tries each key."""
    request = session.pair.request(PATH, subject="alice")
    pool = session.pair.distinct(PATH, session.scale.slow * 2)
    cases: list[Case] = []
    for count in (1, 3, 10):
        configured = [*(KeyPair().public for _ in range(count - 1)), session.pair.public]
        for contender in (ours(configured), native(configured)):
            prove(contender, session.pair)
            label = contender.name.split(":")[0].split(",")[0]
            if contender.counted() is not None:
                cases.append(
                    _repeated(contender._replace(name=f"{label}, {_keys(count)}, token seen before"), request, session)
                )
                # New tokens get a separate verifier, because emptying its cache would disturb the case above.
                contender = ours(configured)
            named = contender._replace(name=f"{label}, {_keys(count)}, new token")
            cases.append(_distinct(named, pool, session.scale.slow))
    return Outcome(session.interleave(cases, turns=session.scale.turns))


def _on_node(session: Session, stack: ExitStack) -> tuple[list[NodePeer], list[str]]:
    if not session.node:
        return [], ["left out, the contenders that run on Node: --no-node"]
    return node_contenders(session.pair, stack)


def _keys(count: int) -> str:
    return "1 key" if count == 1 else f"{count} keys"


def _repeated(contender: Contender, request: SignedRequest, session: Session) -> Case:
    remembers = contender.counted() is not None
    count = session.scale.fast if remembers else session.scale.slow
    return calls(contender.name, contender.check, lambda: contender.arguments([request] * count))


def _distinct(contender: Contender, pool: Sequence[SignedRequest], count: int, *, keep: bool = False) -> Case:
    if keep:
        return calls(contender.name, contender.check, slices(contender, pool, count))
    return calls(contender.name, contender.check, slices(contender, pool, count), before=contender.forget)


def slices(contender: Contender, pool: Sequence[SignedRequest], count: int) -> Callable[[], Sequence[tuple[Any, ...]]]:
    """Return a function that returns the next *count* of *pool*, in a cycle, as the contender's arguments."""
    tokens = itertools.cycle(pool)
    return lambda: contender.arguments(list(itertools.islice(tokens, count)))


def _count_misses(contender: Contender, *, expected: int) -> None:
    counted = contender.counted()
    if counted is not None and counted.misses != expected:
        raise AssertionError(f"{contender.name} checked {counted.misses} tokens in full, not {expected}")


__all__ = ["EVICTING", "VERIFY", "keys", "new", "seen"]
