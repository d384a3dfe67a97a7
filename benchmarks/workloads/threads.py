"""Measure whether several threads verify faster than one: libsodium runs outside the GIL, the parsing inside."""

from __future__ import annotations

import threading
from time import perf_counter_ns
from typing import Any

from benchmarks.contenders import PATH, Contender, native, ours, prove
from benchmarks.measure import Case
from benchmarks.session import Outcome, Session
from benchmarks.signed import SignedRequest

COUNTS = (1, 2, 4)


def run(session: Session) -> Outcome:
    """Divide the same distinct tokens among 1, 2 and 4 threads, and time from the common start to the last end."""
    requests = session.pair.distinct(PATH, session.scale.threaded)
    cases = []
    for contender in (ours([session.pair.public]), native([session.pair.public])):
        prove(contender, session.pair)
        label = contender.name.split(":")[0].split(",")[0]
        cases += [_shared(f"{label}, {named(count)}", contender, requests, count) for count in COUNTS]
    return Outcome(session.interleave(cases, turns=session.scale.turns))


def named(count: int) -> str:
    """Return *count* in words."""
    return "1 thread" if count == 1 else f"{count} threads"


def _shared(name: str, contender: Contender, requests: list[SignedRequest], count: int) -> Case:
    def sample() -> float:
        shares = [contender.arguments(requests[start::count]) for start in range(count)]
        contender.forget()
        started = threading.Barrier(count + 1)
        failures: list[BaseException] = []
        threads = [threading.Thread(target=_verify, args=(contender, share, started, failures)) for share in shares]
        for thread in threads:
            thread.start()
        started.wait()
        start = perf_counter_ns()
        for thread in threads:
            thread.join()
        elapsed = perf_counter_ns() - start
        if failures:
            raise AssertionError(f"{name} refused a genuine token") from failures[0]
        return elapsed / len(requests)

    return Case(name, sample)


def _verify(
    contender: Contender, share: list[tuple[Any, ...]], started: threading.Barrier, failures: list[BaseException]
) -> None:
    check = contender.check
    started.wait()
    try:
        for arguments in share:
            check(*arguments)
    except Exception as error:  # noqa: BLE001 (reported by the main thread)
        failures.append(error)
